import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, chownSync, cpSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run } from './src/command.ts';
import type { Context } from './src/context.ts';
import { HOLDERS, ownerOf, SECRETS } from './src/secrets/catalogue.ts';
import { checkSecrets } from './src/secrets/check.ts';
import { ensureSecrets } from './src/secrets/ensure.ts';
import { restoreSecrets } from './src/secrets/sealing.ts';
import { engine, readFolder } from './src/secrets/vault.ts';
import { CHECKOUT, contentsOf, emptyHost, makeBase, QUIET } from './testing/empty-host.ts';

const base = makeBase();
afterAll(() => rmSync(base, { recursive: true, force: true }));

const secretFile = ({ places }: Context, path: string) => join(places.secrets, path);

describe('make secrets', () => {
  const context = emptyHost(join(base, 'made'));
  let recoveryKey = '';
  beforeAll(async () => {
    await ensureSecrets(context, { ...QUIET, announce: (key) => (recoveryKey = key) });
  });

  test('makes every secret, a file for each holder that nobody else may read', async () => {
    const files = readFolder(context.places.secrets);

    const wanted = SECRETS.flatMap(({ name, holders }) =>
      holders.map((holder) => [`${holder}/${name}`, ownerOf(holder), 0o400]),
    );
    expect(files.map(({ path, uid, mode }) => [path, uid, mode]).sort()).toEqual(wanted.sort());
    for (const folder of ['', ...Object.keys(HOLDERS)])
      expect(statSync(join(context.places.secrets, folder)).mode & 0o777).toBe(0o700);
    expect(statSync(context.places.state).mode & 0o777).toBe(0o700);
    expect(checkSecrets(context)).toEqual([]);
  });

  test.each([
    ['app/JWT_SECRET', 10001, 999],
    ['postgres/TLS_KEY', 999, 10001],
    ['grafana/GRAFANA_ADMIN_PASSWORD', 472, 10001],
  ])('%s is read in a container by its own user, and by no other', async (path, owner, other) => {
    const readAs = (uid: number) => {
      const limits = ['--network', 'none', '--cap-drop', 'ALL', '--log-driver', 'none', '--user', `${uid}:${uid}`];
      const mount = ['-v', `${secretFile(context, path)}:/run/secrets/ONE:ro`];
      return run('docker', [
        'run',
        '--rm',
        ...limits,
        ...mount,
        '--entrypoint',
        'cat',
        'postgres:17',
        '/run/secrets/ONE',
      ]);
    };

    expect((await readAs(owner)).stdout).toBe(contentsOf(context.places.secrets)[path]);
    expect((await readAs(other)).stderr).toMatch(/Permission denied/);
  });

  test('changes nothing that is there, and makes anew only what is missing', async () => {
    const before = contentsOf(context.places.secrets);
    rmSync(secretFile(context, 'app/SYNTHETIC_PASSWORD'));
    rmSync(secretFile(context, 'postgres/POSTGRES_PASSWORD'));

    const { made } = await ensureSecrets(context, QUIET);

    expect(made.sort()).toEqual(['app/SYNTHETIC_PASSWORD', 'postgres/POSTGRES_PASSWORD']);
    const { 'app/SYNTHETIC_PASSWORD': old, ...others } = before;
    const { 'app/SYNTHETIC_PASSWORD': fresh, ...rest } = contentsOf(context.places.secrets);
    expect(rest).toEqual(others);
    expect(fresh).not.toBe(old);
    expect((await ensureSecrets(context, QUIET)).made).toEqual([]);
  });

  test('takes what the deployer supplies in a file, once', async () => {
    const file = join(base, 'smtp');
    writeFileSync(file, 'of-the-mail-server\n');
    const supplied = { ...QUIET, env: { SMTP_PASSWORD_FILE: file } };

    expect((await ensureSecrets(context, supplied)).made).toEqual(['app/SMTP_PASSWORD']);
    writeFileSync(file, 'another');
    expect((await ensureSecrets(context, supplied)).made).toEqual([]);
    expect(contentsOf(context.places.secrets)['app/SMTP_PASSWORD']).toBe('of-the-mail-server');
  });

  test("postgres' certificate is for its names, by an authority whose key no container sees; it is renewed in time", async () => {
    const certificate = new X509Certificate(readFileSync(secretFile(context, 'postgres/TLS_CERTIFICATE')));
    const authority = readFileSync(secretFile(context, 'app/INTERNAL_CA'));
    expect(certificate.checkHost('postgres')).toBe('postgres');
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(certificate.verify(new X509Certificate(authority).publicKey)).toBe(true);

    const ending = engine(
      base,
      'cd /dev/shm; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 29 -subj /CN=postgres -keyout key 2>/dev/null',
    );
    writeFileSync(secretFile(context, 'postgres/TLS_CERTIFICATE'), ending);
    expect(checkSecrets(context)).toContain('postgres/TLS_CERTIFICATE: ends within a month; make secrets renews it');
    const { made } = await ensureSecrets(context, QUIET);

    expect(made.sort()).toEqual(['postgres/TLS_CERTIFICATE', 'postgres/TLS_KEY']);
    expect(readFileSync(secretFile(context, 'app/INTERNAL_CA'))).toEqual(authority);
    expect(checkSecrets(context)).toEqual([]);
  });

  test('never makes anew what the data of a live platform depends on', async () => {
    writeFileSync(context.places.live, '{}');
    const pepper = secretFile(context, 'app/PASSWORD_PEPPER');
    renameSync(pepper, join(base, 'pepper'));

    await expect(ensureSecrets(context, QUIET)).rejects.toMatchObject({
      code: 11,
      message: expect.stringContaining('PASSWORD_PEPPER'),
    });
    renameSync(join(base, 'pepper'), pepper);
    rmSync(context.places.live);
  });

  test('the sealed copy brings all back with the recovery key, and overwrites nothing', async () => {
    writeFileSync(context.places.overrides, 'LOG_LEVEL=debug\n');
    const { sealed } = await ensureSecrets(context, QUIET);
    const copy = readFileSync(sealed);
    const before = readFolder(context.places.secrets);
    const elsewhere = emptyHost(join(base, 'another-host'));

    expect(() => restoreSecrets(context, copy, recoveryKey)).toThrow('is not empty, and nothing is overwritten');
    restoreSecrets(elsewhere, copy, recoveryKey);

    expect(readFolder(elsewhere.places.secrets)).toEqual(before);
    expect(readFolder(elsewhere.places.tls)).toEqual(readFolder(context.places.tls));
    expect(readFileSync(elsewhere.places.overrides, 'utf8')).toBe('LOG_LEVEL=debug\n');
    expect(checkSecrets(elsewhere)).toEqual([]);
    expect(() => restoreSecrets(emptyHost(join(base, 'third'), 'production'), copy, recoveryKey)).toThrow(
      'is of staging, not of production',
    );
    // Nothing changed since: no further copy.
    expect((await ensureSecrets(context, QUIET)).sealed).toBe(sealed);
  });

  test('whoever deploys need not be root', async () => {
    const home = join(base, 'nobody');
    cpSync(join(CHECKOUT, 'deploy'), join(home, 'checkout/deploy'), { recursive: true });
    for (const name of ['.env.staging', 'docker-compose.production.yml', 'Dockerfile'])
      cpSync(join(CHECKOUT, name), join(home, 'checkout', name));
    for (const dir of [base, home]) chmodSync(dir, 0o755);
    chownSync(home, 1000, 1000);
    const script = `
      import { ensureSecrets } from './checkout/deploy/src/secrets/ensure.ts';
      import { checkSecrets } from './checkout/deploy/src/secrets/check.ts';
      import { placesOf } from './checkout/deploy/src/places.ts';
      import { loadSettings } from './checkout/deploy/src/settings.ts';
      const places = placesOf('${home}/state');
      const report = { warn() {} };
      const context = { environment: 'staging', places, settings: loadSettings('checkout', 'staging', places), report };
      const { made } = await ensureSecrets(context, { announce() {}, env: {} });
      console.log(JSON.stringify({ uid: process.getuid(), made: made.length, mistakes: checkSecrets(context) }));`;
    writeFileSync(join(home, 'try.mts'), script);
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'try.mts'], {
      ...{ uid: 1000, gid: statSync('/var/run/docker.sock').gid, cwd: home },
      env: { PATH: process.env['PATH'], HOME: home },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = await child.stdout.setEncoding('utf8').toArray();

    expect(JSON.parse(output.join(''))).toEqual({ uid: 1000, made: expect.any(Number), mistakes: [] });
    expect(statSync(join(home, 'state/secrets/app/JWT_SECRET')).uid).toBe(10001);
    expect(statSync(join(home, 'state/secrets/authority/CA_KEY')).uid).toBe(1000);
    expect(statSync(join(home, 'state/tls/privkey.pem')).uid).toBe(101);
  });
});

test('the command shows names, the recovery key once, and no secret', async () => {
  const state = join(base, 'shown');
  const args = ['--disable-warning=ExperimentalWarning', join(CHECKOUT, 'deploy/main.ts'), 'secrets'];
  const { stdout, stderr, code } = await run(process.execPath, args, { env: { ENV: 'production', STATE_DIR: state } });

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const shown = /^ {4}([\w-]{43})$/m.exec(stdout)?.[1] ?? 'no key';
  expect(stdout.split(shown)).toHaveLength(2);
  const stored = readFolder(state);
  expect(stored.filter(({ content }) => content.includes(shown))).toEqual([]);
  const secrets = readFolder(join(state, 'secrets')).map(({ content }) => content.toString().trim());
  expect(secrets.filter((value) => value !== '' && stdout.includes(value))).toEqual([]);
  for (const name of [
    'app/JWT_SECRET',
    'PUBLIC_URL',
    'fullchain.pem',
    'SMTP_PASSWORD',
    "Sentry's DSN",
    'BOOTSTRAP_SECRET',
  ])
    expect(stdout).toContain(name);
  // In production a certificate that nobody trusts is made for whoever asks for it alone.
  expect(stdout).not.toContain('SELF-SIGNED');
});
