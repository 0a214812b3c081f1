import { one, run } from '@gatehouse/kit/db';
import { createMetrics } from '@gatehouse/kit/metrics';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { jobRow, oweMail, quietLog } from '../test-worker.ts';
import { jobMetrics } from './job-metrics.ts';
import { createRunner, type JobEnd, type JobRun } from './runner.ts';

let db: TestDatabase;
let skewMs = 0;
beforeAll(async () => {
  db = await testDatabase();
});
afterEach(async () => {
  skewMs = 0;
  await run(db.pool('admin'))`delete from events.jobs`;
});
afterAll(() => db.close());

type Send = (run: JobRun<'mail.send'>) => Promise<JobEnd>;
const clock = () => new Date(Date.now() + skewMs);

/** A worker's runner without the queue before it: what Redis hands out, and how often, is the test's to say. */
function runner(send: Send, over: { retryDelaysMs?: number[]; log?: typeof quietLog } = {}) {
  const pool = db.pool('worker');
  const metrics = jobMetrics(createMetrics({ version: '0', revision: '0' }), pool, clock);
  const runJob = createRunner({ pool, clock, log: quietLog, metrics, handlers: { 'mail.send': send }, ...over });
  return (id: string) => runJob({ data: { id } }).catch(() => undefined);
}

// Guards the lease: without it both attempts get past the fence, and the mail goes out twice.
test('F31: a job that is given to two workers at once has one effect, and none when it is given again after a day', async () => {
  const effects: string[] = [];
  const send: Send = async ({ id, commit }) => {
    await commit();
    await new Promise((resolve) => setTimeout(resolve, 5));
    effects.push(id);
    return 'success';
  };
  const [first, second] = [runner(send), runner(send)];
  const ids: string[] = [];
  for (let round = 0; round < 30; round++) {
    const { id } = await oweMail(db.pool('auth'));
    ids.push(id);
    await Promise.all([first(id), second(id)]);
  }
  expect(effects).toEqual(ids);

  skewMs = 86_400_000;
  await Promise.all(ids.flatMap((id) => [first(id), second(id)]));
  expect(effects).toEqual(ids);
});

// Guards the fence: without it the first attempt wakes up, sends, and writes over what the second one wrote.
test('F33: an attempt that slept past its lease has no effect and writes nothing', async () => {
  const { id } = await oweMail(db.pool('auth'));
  const effects: string[] = [];
  let wake: () => void = () => undefined;
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const late = runner(async ({ commit }) => {
    await asleep;
    await commit();
    effects.push('late');
    return 'success';
  })(id);
  await new Promise((resolve) => setTimeout(resolve, 50));
  skewMs = 60_000;
  await runner(async ({ commit }) => {
    await commit();
    effects.push('second');
    return 'success';
  })(id);
  const written = await jobRow(db, id);
  wake();
  await late;
  expect(effects).toEqual(['second']);
  expect(await jobRow(db, id)).toEqual(written);
  expect(written).toMatchObject({ outcome: 'success', attempts: 2 });
});

test('F32: a job whose attempts all died is given up, and a dead one is said once', async () => {
  const said: string[] = [];
  const log = { warn() {}, error: (text: string) => void said.push(text) } as unknown as typeof quietLog;
  const { id } = await oweMail(db.pool('auth'));
  const started: number[] = [];
  // As after a crash: begun, and never heard of again.
  const dying = runner(() => new Promise(() => started.push(1)), { retryDelaysMs: [1, 1] });
  for (let crash = 0; crash < 5; crash++) {
    void dying(id);
    await new Promise((resolve) => setTimeout(resolve, 50));
    skewMs += 60_000;
  }
  expect(started).toHaveLength(3);
  expect(await jobRow(db, id)).toMatchObject({
    attempts: 4,
    outcome: 'failure',
    secret: null,
    last_error: 'every attempt died',
  });

  const other = await oweMail(db.pool('auth'));
  const failing = runner(() => Promise.reject(new Error('to ada@example.test')), { retryDelaysMs: [1], log });
  for (let turn = 0; turn < 4; turn++) await failing(other.id);
  expect(said).toEqual(['a job is dead']);
});

test('what the other side asked us to wait for is waited for', async () => {
  const { failed } = await import('./failure.ts');
  const { id } = await oweMail(db.pool('auth'));
  const busy = failed('busy', 'HTTP_429', { kind: 'temporary', retryAfterMs: 600_000 });
  await runner(() => Promise.reject(busy), { retryDelaysMs: [10] })(id);
  const { seconds } = await one(db.pool('admin'), z.object({ seconds: z.number() }))`
    select extract(epoch from j.run_after - now())::float8 as seconds from events.jobs j where j.id = ${id}`;
  expect(seconds).toBeGreaterThan(550);
  expect(seconds).toBeLessThan(700);
});
