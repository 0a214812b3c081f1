import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { placesOf } from '../src/places.ts';
import { SECRETS } from '../src/secrets/catalogue.ts';
import { loadSettings } from '../src/settings.ts';
import { renderEdgeFiles } from './configure.ts';
import { type Deployment, settingsMistakes } from './settings-mistakes.ts';

const ROOT = join(import.meta.dirname, '../..');
const dir = mkdtempSync(join(tmpdir(), 'gatehouse-settings-'));
afterAll(() => rmSync(dir, { recursive: true }));
const edge = { gateways: ['10.80.1.21:4000', '10.80.1.22:4000'], opsAllow: ['10.80.1.3'] };

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys: Record<string, string> = {
  IDENTITY_PRIVATE_KEY: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  IDENTITY_PUBLIC_KEYS: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
};
for (const { name, holders, kind } of SECRETS)
  if (holders.includes('app')) write(name, kind === 'optional' ? '' : (keys[name] ?? randomBytes(36).toString('hex')));

function write(name: string, value: string): void {
  writeFileSync(join(dir, name), value, { mode: 0o600 });
}

/** As the compose file does it: the settings, and where the secrets are. */
function deployment(environment: 'staging' | 'production', changes: Record<string, string> = {}): Deployment {
  const settings = { ...loadSettings(ROOT, environment, placesOf(dir)), ...changes };
  const files = Object.fromEntries(
    SECRETS.filter(({ holders }) => holders.includes('app')).map(({ name }) => [`${name}_FILE`, join(dir, name)]),
  );
  const services = ['auth-blue', 'org-blue', 'audit-blue', 'worker-blue', 'gateway-1-blue', 'gateway-2-green'];
  const deploymentKeys = Object.keys(loadSettings(ROOT, environment, placesOf(dir)));
  return {
    settings,
    services: Object.fromEntries(services.map((name) => [name, { ...settings, ...files }])),
    deploymentKeys,
  };
}

const OWN_NAMES = {
  PUBLIC_URL: 'https://id.acme.dev',
  SERVER_NAME: 'id.acme.dev',
  SMTP_HOST: 'mail.acme.dev',
  MAIL_FROM: 'Acme <no-reply@acme.dev>',
  CORS_ORIGINS: 'https://id.acme.dev',
};

test("F42 finds nothing wrong with .env.production under a name of one's own; empty secrets count as unset", () => {
  expect(settingsMistakes(deployment('production', OWN_NAMES))).toEqual([]);
});

test('F42 production refuses names that belong to nobody, staging does not', () => {
  const mistakes = settingsMistakes(deployment('production'));

  expect(mistakes.map((mistake) => mistake.split(':')[0]).sort()).toEqual(Object.keys(OWN_NAMES).sort());
  expect(mistakes[0]).toMatch(/names an example domain/);
  expect(settingsMistakes(deployment('staging'))).toEqual([]);
});

test('F42 lists the mistakes of all processes at once, each once, and repeats no value', () => {
  const changes = { BCRYPT_COST: '4', UPSTREAMS: 'auth=hunter2', NGINX_API_RATE: 'hunter2', DATABASE_PORT: 'hunter2' };
  const mistakes = settingsMistakes(deployment('staging', changes));

  expect(
    mistakes.map((mistake) => mistake.split(':')[0]).filter((key, index, all) => all.indexOf(key) === index),
  ).toEqual(expect.arrayContaining(Object.keys(changes)));
  expect(mistakes.filter((mistake) => mistake.startsWith('DATABASE_PORT'))).toHaveLength(1);
  expect(mistakes.join()).not.toContain('hunter2');
});

test('F42 names a setting that nobody reads, and the one that was meant', () => {
  const mistakes = settingsMistakes(deployment('staging', { SESION_IDLE_SECONDS: '5', FAVOURITE_TUNE: 'x' }));

  expect(mistakes).toEqual([
    'SESION_IDLE_SECONDS: nobody reads such a setting; SESSION_IDLE_SECONDS?',
    'FAVOURITE_TUNE: nobody reads such a setting',
  ]);
});

test('F42 judges the secrets that the processes would read', () => {
  const value = 'changeme-changeme-changeme-changeme-12';
  const before = deployment('staging');
  write('PASSWORD_PEPPER', value);
  const mistakes = settingsMistakes(before);
  write('PASSWORD_PEPPER', randomBytes(36).toString('hex'));

  expect(mistakes).toEqual([expect.stringMatching(/^PASSWORD_PEPPER: is an example value/)]);
  expect(mistakes.join()).not.toContain(value);
});

test('nginx in a container listens everywhere, serves the colour that is live, and shows its status to its exporter alone', () => {
  const files = renderEdgeFiles(deployment('staging').settings, edge);

  expect(files['upstream.conf']).toMatch(/^server 10\.80\.1\.21:4000 .*\nserver 10\.80\.1\.22:4000 .*\n$/);
  expect(files['site.conf']).toContain('listen 0.0.0.0:8443 ssl');
  expect(files['site.conf']).toContain('allow 10.80.1.3;');
  expect(files['tls.conf']).toContain('/etc/gatehouse-tls/privkey.pem');
  // The container is not root: a user cannot be changed.
  expect(files['nginx.conf']).not.toMatch(/^user /m);
});
