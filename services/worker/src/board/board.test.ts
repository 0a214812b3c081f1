import { many } from '@gatehouse/kit/db';
import { createMetrics } from '@gatehouse/kit/metrics';
import { openQueue, type Queue, queueConnection } from '@gatehouse/kit/queue';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { createApp } from '../app.ts';
import { PUBLIC_URL, quietLog } from '../test-worker.ts';

let db: TestDatabase;
let redis: TestRedis;
let queue: Queue;
let server: Listening;
let connection: ReturnType<typeof queueConnection>;

beforeAll(async () => {
  [db, redis] = await Promise.all([testDatabase(), testRedis()]);
  connection = queueConnection({ url: redis.url, log: quietLog }, { blocking: false });
  queue = openQueue('mail', connection);
  server = await listen(
    createApp({
      pool: db.pool('worker'),
      log: quietLog,
      metrics: createMetrics({ version: '0', revision: '0' }),
      verifier: testVerifier('worker'),
      queues: new Map([['mail', queue]]),
      publicUrl: PUBLIC_URL,
    }),
  );
});
afterAll(async () => {
  await server.close();
  connection.disconnect();
  await redis.close();
  await db.close();
});

const admin = (): Client => client(server.url, identityHeaders('worker', { role: 'admin' }));
const recorded = (type: string) =>
  many(db.pool('admin'), z.object({ kind: z.string(), data: z.unknown() }))`
    select o.kind, o.data from events.outbox o where o.type = ${type} order by o.position`;
const PAUSE = '/admin/queues/api/queues/mail/pause';

test('a platform admin sees the board, its files and its queues', async () => {
  const page = await admin().get('/admin/queues/');
  expect(page.status).toBe(200);
  expect(page.body).toContain('Gatehouse queues');
  expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  const script = /src="(static\/js\/main[^"]+)"/.exec(page.body)?.[1];
  expect((await admin().get(`/admin/queues/${script}`)).status).toBe(200);
  const api = await admin().get('/admin/queues/api/queues');
  expect(api.status).toBe(200);
  expect(api.body.queues.map((one: { name: string }) => one.name)).toEqual(['mail']);
});

test('S109: nobody else sees anything of it: no page, no file, no action', async () => {
  const page = await admin().get('/admin/queues/');
  const script = `/admin/queues/${/src="(static\/js\/main[^"]+)"/.exec(page.body)?.[1]}`;
  const others: [number, Record<string, string>][] = [
    [401, {}],
    [401, { 'gatehouse-identity': 'x' }],
    [401, identityHeaders('audit', { role: 'admin' })],
    [401, identityHeaders('worker', { kind: 'anonymous' })],
    [401, identityHeaders('worker', { kind: 'api_key' })],
    [403, identityHeaders('worker', { role: 'user' })],
    [403, identityHeaders('worker', { role: 'guest' })],
    [
      403,
      identityHeaders('worker', { role: 'user', org: { id: '00000000-0000-7000-8000-000000000001', role: 'owner' } }),
    ],
  ];
  for (const [status, headers] of others) {
    const someone = client(server.url, headers);
    for (const path of ['/admin/queues', '/admin/queues/', script, '/admin/queues/api/queues'])
      expect({ path, status: (await someone.get(path)).status }).toEqual({ path, status });
    const refused = await someone.put(PAUSE, undefined, { origin: PUBLIC_URL });
    expect(refused.status).toBe(status);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
  }
  expect(await queue.isPaused()).toBe(false);
  expect((await recorded('access.denied.v1')).length).toBeGreaterThan(0);
  expect(await recorded('work.queue_action.v1')).toEqual([]);
});

test('S109: an action from a foreign page is refused, one from the board is done', async () => {
  for (const headers of [
    { origin: 'https://evil.test' },
    { origin: `${PUBLIC_URL}.evil.test` },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    expect((await admin().put(PAUSE, undefined, headers as Record<string, string>)).status).toBe(403);
    expect(await queue.isPaused()).toBe(false);
  }
  expect((await admin().put(PAUSE, undefined, { origin: PUBLIC_URL })).status).toBe(200);
  expect(await queue.isPaused()).toBe(true);
  expect(await recorded('work.queue_action.v1')).toEqual([
    { kind: 'admin_action', data: { method: 'PUT', path: '/api/queues/mail/pause' } },
  ]);
});

test('beside the board there is nothing', async () => {
  expect((await admin().get('/admin')).status).toBe(404);
  expect((await client(server.url).get('/')).status).toBe(401);
});
