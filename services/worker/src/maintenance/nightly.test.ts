import { many, run } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { openQueue, queueConnection } from '@gatehouse/kit/queue';
import { testClock } from '@gatehouse/testkit/clock';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { quietLog } from '../test-worker.ts';
import { cleanUp } from './nightly.ts';
import { ensureSchedule } from './schedule.ts';

let db: TestDatabase;
let redis: TestRedis;
beforeAll(async () => {
  [db, redis] = await Promise.all([testDatabase(), testRedis()]);
});
afterAll(async () => {
  await redis.close();
  await db.close();
});

async function job(column: 'finished' | 'dead' | 'open', daysAgo: number): Promise<string> {
  const id = newId();
  const time = new Date(Date.now() - daysAgo * 86_400_000);
  const [finished, dead] = [column === 'finished' ? time : null, column === 'dead' ? time : null];
  await run(db.pool('admin'))`
    insert into events.jobs (id, name, queue, payload, created_at, finished_at, dead_at)
    values (${id}, 'mail.send', 'mail', '{}', ${time}, ${finished}, ${dead})`;
  return id;
}

test('the nightly clean-up forgets what is long done, in every schema, and nothing that is owed', async () => {
  const kept = await Promise.all([job('open', 400), job('finished', 6), job('dead', 89)]);
  await Promise.all([job('finished', 8), job('dead', 91)]);
  await run(db.pool('admin'))`
    insert into app.idempotency_keys (scope, request_hash, created_at) values ('old', 'x', now() - interval '2 days')`;

  await cleanUp({ pool: db.pool('worker'), clock: testClock(), log: quietLog });

  const left = await many(db.pool('admin'), z.object({ id: z.string() }))`select j.id from events.jobs j`;
  expect(left.map(({ id }) => id).sort()).toEqual(kept.sort());
  const keys = await many(
    db.pool('admin'),
    z.object({ scope: z.string() }),
  )`select k.scope from app.idempotency_keys k`;
  expect(keys).toEqual([]);
});

test('three workers set the schedule and it is there once; lost, it is set again', async () => {
  const connections = [1, 2, 3].map(() => queueConnection({ url: redis.url, log: quietLog }, { blocking: false }));
  const queues = connections.map((connection) => openQueue('maintenance', connection));
  const count = () => queues[0]?.getJobSchedulersCount();
  try {
    await Promise.all(queues.map((queue) => ensureSchedule(queue)));
    expect(await count()).toBe(1);
    expect(await queues[0]?.getDelayedCount()).toBe(1);
    await redis.flush();
    await Promise.all(queues.map((queue) => ensureSchedule(queue)));
    expect(await count()).toBe(1);
    expect(await queues[0]?.getDelayedCount()).toBe(1);
  } finally {
    for (const connection of connections) connection.disconnect();
  }
});
