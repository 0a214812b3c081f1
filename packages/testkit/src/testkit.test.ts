import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTransport } from 'nodemailer';
import { testClock } from './clock.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { eventually } from './eventually.ts';
import { claims, identity, testVerifier } from './identities.ts';
import { mailSink } from './mail.ts';
import { client, listen } from './server.ts';
import { testRedis } from './test-redis.ts';

let one: TestDatabase;
let other: TestDatabase;

beforeAll(async () => {
  [one, other] = await Promise.all([testDatabase(), testDatabase()]);
});
afterAll(() => Promise.all([one.close(), other.close()]));

test('every test file has a database of its own, with every unit migrated', async () => {
  expect(one.name).not.toBe(other.name);
  const units = await one.pool('org').pg.query('select distinct unit from migrations.applied order by unit');
  expect(units.rows.map(({ unit }) => unit)).toEqual(expect.arrayContaining(['auth', 'org', 'platform']));
  await one.pool('admin').pg.query('create table app.only_here (id integer)');
  const seen = await other.pool('admin').pg.query(`select to_regclass('app.only_here') as it`);
  expect(seen.rows[0].it).toBeNull();
});

test('a database can be closed while a connection is still out', async () => {
  const database = await testDatabase({ units: ['platform'] });
  await database.pool('org').pg.connect();
  await database.close();
});

test('redis is empty at first and flushes', async () => {
  const redis = await testRedis();
  await redis.client.set('a', '1');
  await redis.flush();
  expect(await redis.client.dbsize()).toBe(0);
  await redis.close();
});

test('an identity holds what was asked for, for its audience only', () => {
  const org = { id: '0190d5a4-0000-7000-8000-000000000001', role: 'owner' as const };
  const token = identity('org', { role: 'admin', org });
  expect(testVerifier('org')(token)).toMatchObject({ kind: 'user', role: 'admin', org: { ...org, plan: 'free' } });
  expect(() => testVerifier('auth')(token)).toThrow();
  expect(claims({ kind: 'anonymous' })).toEqual({ kind: 'anonymous', sub: 'anonymous' });
});

test('an app listens on a free port and the client reads JSON', async () => {
  const server = await listen((req, res) => {
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ method: req.method, x: req.headers['x-a'] }));
  });
  const answer = await client(server.url, { 'x-a': 'b' }).post('/', { a: 1 });
  expect(answer).toMatchObject({ status: 200, body: { method: 'POST', x: 'b' } });
  await server.close();
});

test('the clock stands still until it is moved', () => {
  const clock = testClock(new Date(0));
  clock.advance(1500);
  expect([clock().getTime(), clock.now().getTime()]).toEqual([1500, 1500]);
});

test('the mail server keeps mails, refuses them, defers them, hangs and resets', async () => {
  const sink = await mailSink();
  const mail = { from: 'a@example.com', to: 'b@example.com', subject: 'Grüße', text: 'Hello', html: '<p>Hello</p>' };
  const send = () =>
    createTransport({ host: sink.host, port: sink.port, secure: false, socketTimeout: 300 }).sendMail(mail);
  await send();
  const received = await sink.waitFor(({ to }) => to.includes('b@example.com'));
  expect(received.parsed).toMatchObject({ subject: 'Grüße', html: '<p>Hello</p>' });
  for (const [behaviour, failure] of [
    ['refuse', { responseCode: 550 }],
    ['defer', { responseCode: 451 }],
    ['hang', { code: 'ETIMEDOUT' }],
    ['reset', { code: /./ }],
  ] as const) {
    sink.behave(behaviour);
    const error: { responseCode?: number; code?: string } = await send().catch((reason) => reason);
    if ('responseCode' in failure) expect(error.responseCode).toBe(failure.responseCode);
    else expect(error.code).toMatch(failure.code);
  }
  expect(sink.mails).toHaveLength(1);
  await sink.close();
});

test('eventually waits for a condition and reports its last error', async () => {
  let calls = 0;
  expect(await eventually(() => ++calls > 3 && 'there')).toBe('there');
  const failing = eventually(() => Promise.reject(new Error('still not')), { timeoutMs: 30 });
  await expect(failing).rejects.toThrow('still not');
});
