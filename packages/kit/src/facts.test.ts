import { once } from 'node:events';
import { eventually } from '@gatehouse/testkit/eventually';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import winston from 'winston';
import { createFacts } from './facts.ts';
import { openRedis, type Redis } from './redis.ts';

const log = winston.createLogger({ silent: true });
const KEY = 'fact:test';
const ALIVE = { active: true };

let redis: TestRedis;
beforeAll(async () => {
  redis = await testRedis();
});
const open: Redis[] = [];
afterEach(() => {
  for (const connection of open.splice(0)) connection.disconnect();
});
afterAll(() => redis.close());

/** A process of its own, with one cached fact in a Redis that holds nothing else. */
async function connected() {
  await redis.flush();
  const connection = openRedis({ url: redis.url, log, name: 'facts-test' });
  open.push(connection);
  const facts = createFacts(connection, log);
  await once(connection, 'ready');
  await facts.fill(KEY, ALIVE);
  return { connection, facts };
}

test('S031 a changed fact leaves a tombstone that no late reader fills', async () => {
  const { facts } = await connected();
  expect(await facts.read([KEY])).toEqual([JSON.stringify(ALIVE)]);

  await facts.invalidate(KEY);
  await facts.fill(KEY, ALIVE);

  expect(await facts.read([KEY])).toEqual([undefined]);
});

// Only the owner's connection is gone: whoever still reads from Redis must not go by what it holds for long.
test('F22 a fact that changed while its owner could not reach Redis is forgotten there as soon as it can', async () => {
  const { connection, facts } = await connected();
  connection.disconnect();
  await once(connection, 'end');

  await facts.invalidate(KEY);
  expect(await redis.client.get(KEY)).toBe(JSON.stringify(ALIVE));
  await connection.connect();

  await eventually(async () => (await redis.client.get(KEY)) === '', { timeoutMs: 1_000 });
});

// A Redis that comes back may hold what was cached before it went, and nobody could have taken that out meanwhile.
test('F22 what a Redis holds that was away is not gone by', async () => {
  const { connection, facts } = await connected();
  expect(await facts.read([KEY])).toEqual([JSON.stringify(ALIVE)]);

  connection.disconnect(true);
  await once(connection, 'ready');

  expect(await facts.read([KEY])).toEqual([undefined]);
});
