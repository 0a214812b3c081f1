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

test('S031 of many facts, those that were changed a moment ago are not filled', async () => {
  const { facts } = await connected();
  await facts.invalidate('fact:changed');
  await facts.fillAll([
    ['fact:changed', ALIVE],
    ['fact:other', ALIVE],
  ]);
  expect(await facts.read(['fact:changed', 'fact:other'])).toEqual([undefined, JSON.stringify(ALIVE)]);
});

// Longer than a tombstone, a fact could come from before a change and outlive what forbids it.
test('S031 what is filled at one instant lives for ten to fifteen seconds, not all as long, and no tombstone is shorter', async () => {
  const { connection, facts } = await connected();
  const keys = Array.from({ length: 500 }, (_, i) => `fact:${i}`);
  await facts.fillAll(keys.map((key) => [key, ALIVE]));
  await facts.invalidate('fact:buried');
  const times = await Promise.all(keys.map((key) => connection.pttl(key)));

  expect(Math.max(...times)).toBeLessThanOrEqual(15_000);
  expect(Math.min(...times)).toBeGreaterThan(9_000);
  expect(new Set(times.map((time) => Math.floor(time / 1_000))).size).toBeGreaterThanOrEqual(5);
  expect(await connection.pttl('fact:buried')).toBeGreaterThanOrEqual(14_500);
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
