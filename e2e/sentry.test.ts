import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { freePort } from '@gatehouse/testkit/process';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { type Platform, ROOT, startPlatform } from '../dev/src/platform.ts';
import { plain } from './house/plain.ts';
import { until } from './house/wait.ts';

// A scratch platform whose processes report to a listener of ours, and a database that can be broken.
const envelopes: string[] = [];
let listener: Server;
let platform: Platform;
let dataDir: string;
const PASSWORD = 'Zq8-canary-password-5tY';
const EMAIL = 'canary.person@people.test';

beforeAll(async () => {
  listener = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', () => {
      const raw = Buffer.concat(chunks);
      envelopes.push((req.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString());
      res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve));
  dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-sentry-'));
  chmodSync(dataDir, 0o755);
  platform = await startPlatform({
    dataDir,
    ports: 'free',
    durable: false,
    skip: ['nginx', 'mailbox', 'upstream', 'worker', 'audit'],
    settings: { BCRYPT_COST: '4' },
    env: { SENTRY_DSN: `http://0123456789abcdef0123456789abcdef@127.0.0.1:${port}/1` },
  });
}, 60_000);
afterAll(async () => {
  await platform?.stop();
  listener.closeAllConnections();
  await new Promise((resolve) => listener.close(resolve));
  rmSync(dataDir, { recursive: true, force: true });
}, 30_000);

interface Reported {
  exception?: { values: { type: string; value: string }[] };
  request?: { headers?: Record<string, string> };
  user?: unknown;
  server_name?: string;
  release?: string;
  contexts?: unknown;
}

/** Events among the items of all envelopes: a header line, then for each item its header and its payload. */
function events(): Reported[] {
  return envelopes.flatMap((envelope) =>
    envelope.split('\n').flatMap((line, index, lines) => {
      if (!/^\{.*"type":"event"/.test(line)) return [];
      return [JSON.parse(lines[index + 1] ?? '{}') as Reported];
    }),
  );
}

test('a bug is reported, once, with what helps to find it and nothing of who met it', async () => {
  const gateway = platform.settings['GATEWAY_URL'] ?? '';
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    plain(`${gateway}${path}`, { method: 'POST', body, headers });
  const admin = { email: EMAIL, name: 'Canary Person', password: PASSWORD };
  expect((await post('/api/bootstrap', { organization: { name: 'Canary' }, admin })).status).toBe(201);
  const login = await post('/api/auth/login', { email: EMAIL, password: PASSWORD });
  const { access_token, refresh_token } = JSON.parse(login.text);
  // A refusal is no bug.
  await post('/api/auth/login', { email: EMAIL, password: 'not-the-password' });

  const database = new pg.Client({
    connectionString: platform.postgres.adminUrl.replace(/[^/]+$/, platform.settings['DATABASE_NAME'] ?? ''),
  });
  await database.connect();
  await database.query('alter table org.api_keys rename to api_keys_gone');
  const mine = await plain(`${gateway}/api/orgs`, { headers: { authorization: `Bearer ${access_token}` } });
  const orgId = JSON.parse(mine.text).data[0].id as string;
  const broken = await post(
    `/api/org/${orgId}/api-keys`,
    { name: `key of ${EMAIL}` },
    {
      authorization: `Bearer ${access_token}`,
      cookie: 'session=canary-cookie-value',
      'x-custom-secret': 'canary-header-value',
      'user-agent': 'canary-browser/1.0',
    },
  );
  await database.query('alter table org.api_keys_gone rename to api_keys');
  await database.end();
  expect(broken.status).toBe(500);
  expect(JSON.parse(broken.text)).toMatchObject({ code: 'internal', request_id: broken.headers['x-request-id'] });
  expect(broken.text).not.toMatch(/api_keys|relation|select/);

  const reported = await until('the report', 10_000, events, (found) => found.length > 0);
  expect(reported).toHaveLength(1);
  const [event] = reported;
  expect(event?.exception?.values.at(-1)?.value).toMatch(/org\.api_keys/);
  expect(event).toMatchObject({ server_name: 'org', release: expect.stringMatching(/^gatehouse@\d/) });
  expect(event?.user).toBeUndefined();
  const headers = Object.keys(event?.request?.headers ?? {}).map((name) => name.toLowerCase());
  expect(headers.filter((name) => !['user-agent', 'content-type', 'x-request-id'].includes(name))).toEqual([]);

  const all = envelopes.join('\n');
  const secrets = [
    PASSWORD,
    EMAIL,
    access_token,
    refresh_token,
    'canary-cookie-value',
    'canary-header-value',
    'Canary Person',
  ];
  expect(secrets.filter((secret) => all.includes(secret))).toEqual([]);
  // No body, no signed token, no credential of the database or of Redis.
  expect(all).not.toMatch(/eyJ[\w-]{10,}\.[\w-]{10,}\./);
  for (const password of Object.values(platform.databasePasswords)) expect(all).not.toContain(password);
}, 40_000);

test('without a DSN no process loads a line of Sentry', async () => {
  const watching = `import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) {
      if (/node_modules\\/@sentry/.test(url)) process.stderr.write('LOADED ' + url + '\\n');
      return next(url, context);
    } });`;
  for (const main of ['gateway', 'services/auth', 'services/org', 'services/audit', 'services/worker']) {
    const args = ['--import', `data:text/javascript,${encodeURIComponent(watching)}`];
    const instrumented = [...args, '--import', './packages/kit/src/instrument.ts', `${main}/src/main.ts`];
    const withDsn = main === 'services/org' ? ['', 'http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1'] : [''];
    for (const SENTRY_DSN of withDsn) {
      // It has read all of its code by the time that it refuses to start without settings.
      const { code, output } = await run(instrumented, { SENTRY_DSN });
      expect(code).toBe(78);
      expect({ main, SENTRY_DSN, loaded: output.includes('LOADED') }).toEqual({
        main,
        SENTRY_DSN,
        loaded: SENTRY_DSN !== '',
      });
    }
  }
}, 60_000);

function run(args: string[], env: Record<string, string>): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { PATH: process.env['PATH'], ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}
