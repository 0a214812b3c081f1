import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type RunningPostgres, startPostgres } from '@gatehouse/testkit/postgres';
import { reapWithUs } from '@gatehouse/testkit/process';
import { type RunningRedis, startRedis } from '@gatehouse/testkit/redis';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { house, query, visitor } from '../house/house.ts';
import { company, newKey, newPassword, type Person, platformAdmin, signedIn } from '../house/people.ts';
import { until } from '../house/wait.ts';
import { doubled, missingFrom, openLedger, startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let admin: Person;
let orgId: string;
let postgres: RunningPostgres;
let redis: Pick<RunningRedis, 'pid' | 'port' | 'stop'>;

beforeAll(async () => {
  // Registration by anybody owes mails: work that must survive a lost Redis.
  scene = await startScene({ settings: { REGISTRATION_MODE: 'open', LOGIN_ACCOUNT_NETWORK_BUDGET: '10' } });
  ({ postgres, redis } = scene.platform);
  admin = await platformAdmin();
  orgId = (await company([])).id;
}, 90_000);
afterAll(async () => {
  await scene.close();
  await redis.stop();
  await postgres.stop();
}, 60_000);

const PROCESSES = ['gateway', 'auth', 'org', 'audit', 'worker'];
const pids = () => PROCESSES.map((name) => scene.platform.process(name).pid());
const allReady = async () => {
  await Promise.all(PROCESSES.map((name) => scene.platform.process(name).ready(10_000)));
};

let guests = 0;
async function guest(): Promise<{ name: string; email: string; password: string }> {
  guests += 1;
  const person = { name: 'Guest', email: `guest-${guests}@people.test`, password: newPassword() };
  const answer = await visitor().post('/api/auth/register', person);
  expect([202, answer.text]).toEqual([answer.status, answer.text]);
  return person;
}

/** As `guest`, confirmed past the mail, so that the person signs in. */
async function user(): Promise<{ name: string; email: string; password: string }> {
  const person = await guest();
  await query(
    `update auth.users u set role = 'user', email_verified_at = now(), confirm_by = null, password_hash = e.password_hash
     from auth.email_verifications e where e.user_id = u.id and u.email = $1`,
    [person.email],
  );
  return person;
}

const mailsTo = (email: string) =>
  scene.platform.mailbox
    ?.messages()
    .filter(({ to }) => to.includes(email))
    .map(({ id }) => id) ?? [];

async function restartRedis(): Promise<void> {
  const password = readFileSync(join(scene.platform.secretsDir, 'REDIS_PASSWORD'), 'utf8').trim();
  const running = await startRedis({
    port: redis.port,
    dir: join(house().dataDir, 'redis'),
    password,
    appendonly: false,
  });
  reapWithUs({ pids: [running.pid], dir: mkdtempSync(join(tmpdir(), 'gatehouse-reap-')) });
  redis = running;
}

test('F12: Postgres restarts: no process ends, answers are 503 for as long as it is away, no sign-in lacks its record', async () => {
  const before = pids();
  const person = await user();
  const statuses = new Map<string, number>();
  const logins: string[] = [];
  const bad: { at: number; status: number }[] = [];
  const load = startLoad(3, 20, async (line, round) => {
    const client = visitor({ patient: false });
    const answer = await (line === 0
      ? client.post<{ access_token: string }>('/api/auth/login', { email: person.email, password: person.password })
      : line === 1
        ? client.as(admin.client.token).patch(`/api/org/${orgId}`, { name: `Round ${round}` })
        : client.as(admin.client.token).get(`/api/org/${orgId}/members`)
    ).catch(() => undefined);
    client.close();
    const status = answer?.status ?? 0;
    statuses.set(String(status), (statuses.get(String(status)) ?? 0) + 1);
    if (status !== 200) bad.push({ at: performance.now(), status });
    else if (line === 0 && answer) logins.push(sessionOf((answer.body as { access_token: string }).access_token));
  });
  await delay(500);
  const down = performance.now();
  await postgres.stop();
  await delay(1000);
  const { port, dataDir } = postgres;
  postgres = await startPostgres({ dataDir, port, durable: false });
  reapWithUs({ pids: [postgres.pid], dir: mkdtempSync(join(tmpdir(), 'gatehouse-reap-')) });
  const up = performance.now();
  await delay(5500);
  await load.stop();

  const last = bad.at(-1)?.at ?? down;
  process.stdout.write(
    `  F12: away ${Math.round(up - down)} ms, last failure ${Math.round(last - up)} ms after, ${JSON.stringify([...statuses])}\n`,
  );
  expect(pids()).toEqual(before);
  expect(bad.length).toBeGreaterThan(0);
  expect([...new Set(bad.map(({ status }) => status))]).toEqual([503]);
  expect(last - up).toBeLessThan(5000);
  await allReady();
  const events = await query<{ session: string }>(
    `select data->>'session_id' as session from audit.log where type = 'auth.login_succeeded.v1'
     union all select data->>'session_id' from events.outbox where type = 'auth.login_succeeded.v1'`,
  );
  const recorded = events.map(({ session }) => session);
  expect(logins.length).toBeGreaterThan(20);
  expect(missingFrom(recorded, logins)).toEqual([]);
  expect(doubled(recorded)).toEqual([]);
}, 40_000);

test('F22: Redis killed: sign-in, reading and writing go on; the mails that were owed meanwhile are sent, once', async () => {
  const before = pids();
  const person = await user();
  await until(
    'the first mail',
    10_000,
    () => mailsTo(person.email).length,
    (count) => count === 1,
  );

  process.kill(redis.pid, 'SIGKILL');
  await delay(300);
  // Who signs in is mailed about the device as well, so the mails of others are counted.
  const owed: string[] = [];
  const slow: number[] = [];
  for (let round = 0; round < 8; round++) {
    const start = performance.now();
    owed.push((await guest()).email);
    const signed = await signedIn(person);
    expect((await signed.client.get('/api/auth/me')).status).toBe(200);
    expect((await admin.client.get(`/api/org/${orgId}`)).status).toBe(200);
    expect((await admin.client.patch(`/api/org/${orgId}`, { name: `Without ${round}` })).status).toBe(200);
    // What ends now ends, though the cache that should be told is away.
    expect((await signed.client.post('/api/auth/logout')).status).toBe(204);
    await until(
      'dead without Redis',
      1000,
      () => signed.client.get('/api/auth/me'),
      ({ status }) => status === 401,
    );
    slow.push(Math.round(performance.now() - start));
  }
  await restartRedis();
  for (const email of owed)
    await until(
      `the mail to ${email}`,
      15_000,
      () => mailsTo(email).length,
      (count) => count >= 1,
    );
  await delay(500);
  expect(owed.filter((email) => mailsTo(email).length !== 1)).toEqual([]);
  expect(pids()).toEqual(before);
  process.stdout.write(`  F22: seven requests without Redis took ${slow.join(', ')} ms\n`);
}, 60_000);

test('F23: everything in Redis is gone: nothing revoked lives again, no guess is given back, no work is lost', async () => {
  const locked = await user();
  const client = visitor({ patient: false });
  const wrong = () => client.post('/api/auth/login', { email: locked.email, password: 'not-the-password' });
  const guesses = openLedger();
  for (let i = 0; i < 12; i++) await guesses.record(String(i), wrong);
  expect(guesses.entries.map(({ status }) => status)).toEqual([...Array(10).fill(401), 429, 429]);

  const ended = await signedIn(await user());
  await ended.client.get('/api/auth/me');
  await ended.client.post('/api/auth/logout');
  const key = await newKey(admin, orgId);
  const use = () => visitor().get('/api/proxy/example/x', { 'x-api-key': key.key });
  expect((await use()).status).toBe(200);
  await admin.client.delete(`/api/org/${orgId}/api-keys/${key.id}`);
  await until('the key is dead', 1000, use, ({ status }) => status === 401);
  // A mail that has been handed to Redis and not been sent: its worker is held.
  await scene.kill('worker');
  const unsent = await guest();

  const connection = new Redis(scene.platform.redis.url);
  await query(`update events.jobs set dispatched_at = now() where payload->>'to' = $1`, [unsent.email]);
  await connection.flushall();
  connection.disconnect();

  expect((await wrong()).status).toBe(429);
  const right = await client.post('/api/auth/login', { email: locked.email, password: locked.password });
  expect(right.status).toBe(429);
  expect((await ended.client.get('/api/auth/me')).status).toBe(401);
  expect((await client.post('/api/auth/refresh', { refresh_token: ended.refreshToken })).status).toBe(401);
  expect((await use()).status).toBe(401);
  const second = { organization: { name: 'X' }, admin: { email: 'x@x.test', name: 'X', password: newPassword() } };
  expect((await client.post('/api/bootstrap', second)).status).toBe(403);

  // A minute passes: what was handed over and never came back is handed over again.
  await query(`update events.jobs set dispatched_at = dispatched_at - interval '61 seconds' where finished_at is null`);
  await scene.revive('worker');
  await until(
    'the mail',
    15_000,
    () => mailsTo(unsent.email).length,
    (count) => count === 1,
  );
}, 60_000);

test('F24: Redis hangs: answers stay under a second, and guesses stay counted', async () => {
  const victim = await user();
  const times: number[] = [];
  const statuses: number[] = [];
  const asking = visitor({ patient: false });
  await asking.as(admin.client.token).get(`/api/org/${orgId}`);
  process.kill(redis.pid, 'SIGSTOP');
  try {
    const load = startLoad(4, 50, async (line) => {
      const start = performance.now();
      const answer = await (line < 3
        ? visitor().as(admin.client.token).get(`/api/org/${orgId}`)
        : visitor().get('/api/permissions'));
      times.push(performance.now() - start);
      statuses.push(answer.status);
    });
    const guesses = openLedger();
    for (let i = 0; i < 12; i++) {
      const start = performance.now();
      await guesses.record(String(i), () =>
        asking.post('/api/auth/login', { email: victim.email, password: 'not-the-password' }),
      );
      times.push(performance.now() - start);
    }
    await delay(3000);
    await load.stop();
    expect(guesses.entries.map(({ status }) => status)).toEqual([...Array(10).fill(401), 429, 429]);
  } finally {
    process.kill(redis.pid, 'SIGCONT');
  }
  times.sort((a, b) => a - b);
  const p99 = Math.round(times[Math.floor(times.length * 0.99)] ?? 0);
  process.stdout.write(
    `  F24: ${times.length} requests, median ${Math.round(times[times.length >> 1] ?? 0)} ms, p99 ${p99} ms\n`,
  );
  expect([...new Set(statuses)]).toEqual([200]);
  expect(p99).toBeLessThan(1000);
  await until(
    'Redis is used again',
    5000,
    () => asking.get('/api/permissions'),
    ({ status }) => status === 200,
  );
}, 40_000);

function sessionOf(token: string): string {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid;
}
