import { many, run } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { openQueue, type Queue, queueConnection, work } from '@gatehouse/kit/queue';
import { testClock } from '@gatehouse/testkit/clock';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { z } from 'zod';
import { quietLog } from '../test-worker.ts';
import { cleanUp } from './nightly.ts';
import { ensureSchedule } from './schedule.ts';

let db: TestDatabase;
let redis: TestRedis;
beforeAll(async () => {
  [db, redis] = await Promise.all([testDatabase(), testRedis()]);
});
afterEach(() => {
  jest.restoreAllMocks();
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

test('F36 the nightly clean-up deletes nothing while the clock is off, twice the same, and later what a night left out', async () => {
  const kept = await job('finished', 6);
  await job('finished', 8);
  const ids = async () =>
    (await many(db.pool('admin'), z.object({ id: z.string() }))`select j.id from events.jobs j`).map(({ id }) => id);
  const before = await ids();
  const clock = testClock();
  const deps = { pool: db.pool('worker'), clock, log: quietLog };
  for (const ms of [600_000, -3_600_000, 365 * 86_400_000]) {
    clock.set(new Date(Date.now() + ms));
    await expect(cleanUp(deps)).rejects.toThrow(/the clock is \d+ s (ahead|behind)/);
  }
  expect(await ids()).toEqual(before);
  clock.set(new Date());
  await Promise.all([cleanUp(deps), cleanUp(deps)]);
  const after = await ids();
  expect(after).toContain(kept);
  expect(after.length).toBe(before.length - 1);
  await cleanUp(deps);
  expect(await ids()).toEqual(after);
});

const DAY_MS = 86_400_000;
const NIGHT = Date.UTC(2026, 10, 22, 3, 17);

/** What BullMQ takes the time to be; it goes on from there. */
function setClock(time: number): void {
  jest.restoreAllMocks();
  const now = Date.now.bind(Date);
  const ahead = time - now();
  jest.spyOn(Date, 'now').mockImplementation(() => now() + ahead);
}

async function withQueue(work: (queue: Queue) => Promise<void>): Promise<void> {
  await redis.flush();
  const connection = queueConnection({ url: redis.url, log: quietLog }, { blocking: false });
  try {
    await work(openQueue('maintenance', connection));
  } finally {
    connection.disconnect();
  }
}

/** A worker, by the clock of the moment, for as long as it takes to find what is due. */
async function runDue(): Promise<number> {
  let runs = 0;
  const connection = queueConnection({ url: redis.url, log: quietLog }, { blocking: true });
  const handle = async () => {
    runs += 1;
  };
  const worker = work({ queue: 'maintenance', connection, concurrency: 1, handle });
  await eventually(() => runs > 0, { timeoutMs: 500 }).catch(() => undefined);
  await worker.close();
  connection.disconnect();
  return runs;
}

const nextOf = async (queue: Queue) => (await queue.getJobScheduler('maintenance.nightly'))?.next;

test('F36 one night is one clean-up, though the worker’s clock is ahead of the others', () =>
  withQueue(async (queue) => {
    setClock(NIGHT - 3_600_000);
    await ensureSchedule(queue);
    expect(await nextOf(queue)).toBe(NIGHT);
    // Ten minutes early, by a clock that says that it is time.
    setClock(NIGHT + 1);
    expect(await runDue()).toBe(1);
    // Then it is time.
    for (const ms of [-600_000, 1, 600_000]) {
      setClock(NIGHT + ms);
      await ensureSchedule(queue);
      expect(await runDue()).toBe(0);
    }
    expect(await nextOf(queue)).toBe(NIGHT + DAY_MS);
    setClock(NIGHT + DAY_MS + 1);
    expect(await runDue()).toBe(1);
  }));

test('F36 one night is one clean-up, though the worker’s clock is behind the others', () =>
  withQueue(async (queue) => {
    setClock(NIGHT - 3_600_000);
    await ensureSchedule(queue);
    // One whose clock is right takes note that it is time; one that is an hour behind gets the job.
    setClock(NIGHT + 1);
    const job = (await queue.getDelayed())[0];
    await job?.promote();
    setClock(NIGHT - 3_600_000);
    expect(await runDue()).toBe(1);
    expect(await nextOf(queue)).toBe(NIGHT + DAY_MS);
    for (const ms of [-600_000, 1, 600_000]) {
      setClock(NIGHT + ms);
      await ensureSchedule(queue);
      expect(await runDue()).toBe(0);
    }
  }));

test('F36 a night that a clock far ahead put off is set again', () =>
  withQueue(async (queue) => {
    setClock(NIGHT + 365 * DAY_MS + 1);
    await ensureSchedule(queue);
    expect(await nextOf(queue)).toBe(NIGHT + 366 * DAY_MS);
    setClock(NIGHT - 60_000);
    await ensureSchedule(queue);
    expect(await nextOf(queue)).toBe(NIGHT);
    expect(await queue.getDelayedCount()).toBe(1);
    setClock(NIGHT + 1);
    expect(await runDue()).toBe(1);
  }));
