import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { eventually } from '@gatehouse/testkit/eventually';
import { identityHeaders } from '@gatehouse/testkit/identities';
import { freePort } from '@gatehouse/testkit/process';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, SETTINGS, startAuth } from './testing.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const ROUNDS = 4;
const CLIENTS = 8;

let auth: AuthUnderTest;
const children: ChildProcess[] = [];
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await auth.close();
});

/** The real process, on ports of its own. */
async function spawned(over: Record<string, string | undefined> = {}) {
  const { host, port, database, password } = auth.database.connection('auth');
  const [own, ops] = [await freePort(), await freePort()];
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, value]) => [name, String(value)]));
  const env = {
    PATH: process.env['PATH'],
    ...settings,
    DATABASE_HOST: host,
    DATABASE_PORT: String(port),
    DATABASE_NAME: database,
    DATABASE_TLS: 'off',
    AUTH_DATABASE_PASSWORD: password,
    AUTH_PORT: String(own),
    AUTH_OPS_PORT: String(ops),
    REDIS_URL: auth.redis.url,
    ...over,
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const anonymous = client(`http://127.0.0.1:${own}`, identityHeaders('auth', { kind: 'anonymous' }));
  const ready = () => eventually(async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok, { timeoutMs: 10_000 });
  return { child, exited, anonymous, ready, output: () => output };
}

describe('F42 the process refuses to start, with 78 and a line that says why', () => {
  test('without its secrets, naming each of them', async () => {
    const { exited, output } = await spawned({ JWT_SECRET: undefined, PASSWORD_PEPPER: 'changeme', MAIL_KEY: '' });
    expect(await exited).toBe(78);
    for (const name of ['JWT_SECRET', 'PASSWORD_PEPPER', 'MAIL_KEY']) expect(output()).toContain(`${name}: `);
    expect(output()).not.toContain('changeme');
  });

  test('with another JWT_SECRET than the one that the keys were sealed with', async () => {
    const before = await auth.rows('select kid from auth.signing_keys order by kid');
    const { exited, output } = await spawned({ JWT_SECRET: 'z9Xw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0FeD' });
    expect(await exited).toBe(78);
    expect(output()).toContain('JWT_SECRET: does not open the signing keys in the database');
    expect(await auth.rows('select kid from auth.signing_keys order by kid')).toEqual(before);
  });
});

test('SIGTERM ends the process in order, with exit code 0', async () => {
  const { child, exited, ready } = await spawned();
  await ready();
  child.kill('SIGTERM');
  expect(await exited).toBe(0);
});

test('hashing has threads of its own: as many as cores, and four for the rest', async () => {
  const { child, anonymous, ready } = await spawned();
  await ready();
  const threads = () => readdirSync(`/proc/${child.pid}/task`).length;
  await anonymous.post('/api/auth/login', { email: 'nobody@users.test', password: PASSWORD });
  expect(threads()).toBeGreaterThanOrEqual(availableParallelism() + 4);
  child.kill('SIGKILL');
});

interface Ledger {
  sessions: string[];
  /** The newest refresh token that each session acknowledged. */
  tokens: string[];
}

/** Signs in and refreshes, one after the other, until the process is gone. */
async function use(anonymous: Awaited<ReturnType<typeof spawned>>['anonymous'], email: string, ledger: Ledger) {
  try {
    for (;;) {
      const login = await anonymous.post('/api/auth/login', { email, password: PASSWORD });
      if (login.status !== 200) continue;
      ledger.sessions.push(Buffer.from(login.body.refresh_token.slice(4), 'base64url').toString('hex', 0, 16));
      const refreshed = await anonymous.post('/api/auth/refresh', { refresh_token: login.body.refresh_token });
      ledger.tokens.push(refreshed.status === 200 ? refreshed.body.refresh_token : login.body.refresh_token);
    }
  } catch {
    return;
  }
}

test('F01 whenever auth is killed, acknowledged sessions are there with their events, nothing is half, and clients go on', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const users = await Promise.all(
      Array.from({ length: CLIENTS }, () => auth.user({ email: `${randomUUID()}@load.test` })),
    );
    const { child, exited, anonymous, ready } = await spawned({ SESSIONS_MAX: '1000' });
    await ready();
    const ledger: Ledger = { sessions: [], tokens: [] };
    const clients = users.map(({ email }) => use(anonymous, email, ledger));
    await eventually(() => ledger.tokens.length > 30 + round * 13, { timeoutMs: 10_000 });
    child.kill('SIGKILL');
    await Promise.all([...clients, exited]);

    const ids = users.map(({ id }) => id);
    const stored = await auth.rows<{ id: string }>('select id from auth.sessions where user_id = any ($1)', [ids]);
    const events = (await auth.events('auth.login_succeeded.v1')).filter(({ data }) =>
      ids.includes(String(data['user_id'])),
    );
    const storedIds = stored.map(({ id }) => id).sort();
    expect(events.map(({ data }) => String(data['session_id'])).sort()).toEqual(storedIds);
    const bare = storedIds.map((id) => id.replaceAll('-', ''));
    expect(bare).toEqual(expect.arrayContaining(ledger.sessions));
    for (const refresh_token of ledger.tokens.slice(-CLIENTS))
      expect((await auth.anonymous.post('/api/auth/refresh', { refresh_token })).status).toBe(200);
  }
}, 90_000);
