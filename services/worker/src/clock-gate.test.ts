import { run } from '@gatehouse/kit/db';
import { openQueue, queueConnection } from '@gatehouse/kit/queue';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { jobRow, oweMail, quietLog, testWorker } from './test-worker.ts';

const HOUR_MS = 3_600_000;

let db: TestDatabase;
let redis: TestRedis;
let sink: MailSink;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  [db, redis, sink] = await Promise.all([testDatabase(), testRedis(), mailSink()]);
});
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
  await run(db.pool('admin'))`delete from events.jobs`;
  await redis.flush();
  sink.clear();
});
afterAll(async () => {
  await Promise.all([redis.close(), sink.close()]);
  await db.close();
});

/** A worker whose clock the test steps. */
function stepped(ms: number) {
  const state = { ms };
  const clock = () => new Date(Date.now() + state.ms);
  const worker = testWorker(db, redis.url, sink, { clock, clockCheckMs: 20 });
  ends.push(worker.end);
  return state;
}
const finished = (id: string) => eventually(async () => (await jobRow(db, id)).finished_at);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test.each([
  ['an hour behind', -HOUR_MS],
  ['ten minutes behind', -600_000],
  ['ten minutes ahead', 600_000],
  ['a day ahead', 24 * HOUR_MS],
])('F36 a worker whose clock is %s takes nothing, and works when it is right again', async (_, ms) => {
  const state = stepped(ms);
  const { id } = await oweMail(db.pool('auth'));
  await pause(400);
  expect(await jobRow(db, id)).toMatchObject({ attempts: 0, dispatched_at: null });
  state.ms = 2_000;
  await finished(id);

  state.ms = ms;
  await pause(200);
  const second = await oweMail(db.pool('auth'));
  await pause(300);
  expect(await jobRow(db, second.id)).toMatchObject({ attempts: 0, dispatched_at: null });
  state.ms = 0;
  await finished(second.id);
  expect(sink.mails).toHaveLength(2);
});

test('F36 beside a worker whose clock stepped the other one goes on, and nothing is done twice', async () => {
  const [one, other] = [stepped(0), stepped(0)];
  const owed: string[] = [];
  for (let round = 0; round < 12; round++) {
    one.ms = [0, 600_000, -HOUR_MS][round % 3] as number;
    for (let n = 0; n < 5; n++) owed.push((await oweMail(db.pool('auth'))).id);
    await pause(60);
  }
  one.ms = 0;
  expect(other.ms).toBe(0);
  for (const id of owed) await finished(id);
  await pause(400);
  const times = new Map<string, number>();
  for (const { parsed } of sink.mails) times.set(parsed.messageId ?? '', (times.get(parsed.messageId ?? '') ?? 0) + 1);
  expect(times.size).toBe(owed.length);
  expect([...times.values()].filter((count) => count !== 1)).toEqual([]);
});

test('F36 a worker whose clock is off sets no schedule', async () => {
  const state = stepped(HOUR_MS);
  const connection = queueConnection({ url: redis.url, log: quietLog }, { blocking: false });
  const queue = openQueue('maintenance', connection);
  try {
    await pause(300);
    expect(await queue.getJobSchedulersCount()).toBe(0);
    state.ms = 0;
    await eventually(async () => (await queue.getJobSchedulersCount()) === 1);
  } finally {
    connection.disconnect();
  }
});
