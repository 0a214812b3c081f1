import { setTimeout as delay } from 'node:timers/promises';
import { run } from '@gatehouse/kit/db';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { jobRow, oweMail, testWorker } from './test-worker.ts';

let db: TestDatabase;
let redis: TestRedis;
let sink: MailSink;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  [db, redis] = await Promise.all([testDatabase(), testRedis()]);
});
beforeEach(async () => {
  sink = await mailSink();
});
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
  await run(db.pool('admin'))`delete from events.jobs`;
  await redis.flush();
  await sink.close();
});
afterAll(async () => {
  await redis.close();
  await db.close();
});

function started(overrides: Parameters<typeof testWorker>[3] = {}) {
  const worker = testWorker(db, redis.url, sink, overrides);
  ends.push(worker.end);
  return worker;
}
const ended = (id: string, timeoutMs = 10_000) =>
  eventually(
    async () => {
      const row = await jobRow(db, id);
      return row.finished_at || row.dead_at ? row : undefined;
    },
    { timeoutMs },
  );
const messageIds = () => new Set(sink.mails.map((mail) => mail.parsed.messageId));

test('F27: while the mailer is down mails wait, seen by everyone; then they arrive, and codes that are too old do not', async () => {
  const { port } = sink;
  await sink.close();
  const worker = started({ retryDelaysMs: Array(100).fill(150) });
  const before = performance.now();
  const owed = await Promise.all(Array.from({ length: 10 }, () => oweMail(db.pool('auth'))));
  expect(performance.now() - before).toBeLessThan(1_000);
  const expires_at = new Date(Date.now() + 1_000).toISOString();
  const code = await oweMail(db.pool('auth'), {
    template: 'code',
    params: { name: 'Ada', purpose: 'sign_in', minutes: 10 },
    expires_at,
  });

  // The code ends with its time, and its secret with it, though the mailer is still away.
  expect(await ended(code.id)).toMatchObject({ outcome: 'expired', secret: null });
  const metrics = await worker.metrics.registry.metrics();
  const [, ready, delayed] = ['', 'ready', 'delayed'].map((state) =>
    Number(new RegExp(`job_queue_length{queue="mail",state="${state}"} (\\d+)`).exec(metrics)?.[1]),
  );
  expect(Number(ready) + Number(delayed)).toBeGreaterThanOrEqual(5);
  expect(metrics).toContain('job_mails_total{template="code",outcome="expired"} 1');
  for (const { id } of owed)
    expect(await jobRow(db, id)).toMatchObject({ finished_at: null, dead_at: null, doubts: 0 });

  sink = await mailSink({ port });
  for (const { id } of owed) expect(await ended(id)).toMatchObject({ outcome: 'success', secret: null });
  expect(sink.mails.map((mail) => mail.to[0]).sort()).toEqual(owed.map(({ to }) => to).sort());
});

describe('F28: a mailer that is slow', () => {
  test('holds up mails and nothing else', async () => {
    const ticks: number[] = [];
    const cleanUp = async () => void ticks.push(Date.now());
    sink.behave('tarpit', 700);
    started({ nightly: { pattern: '* * * * * *', cleanUp }, slowMs: 300, retryDelaysMs: [500, 1_000, 2_000, 2_000] });
    const owed = await Promise.all(Array.from({ length: 8 }, () => oweMail(db.pool('auth'))));
    for (const { id } of owed) expect(await ended(id, 15_000)).toMatchObject({ outcome: 'success' });
    expect(messageIds().size).toBe(8);
    expect(sink.mails.length).toBeLessThanOrEqual(12);
    // Ticks of every second, each on time.
    expect(ticks.length).toBeGreaterThanOrEqual(4);
    for (const tick of ticks) expect(tick % 1_000).toBeLessThan(500);
  });

  test('that drips its answer holds a mail no longer than its attempt may take, and not the worker’s end either', async () => {
    sink.behave('drip', 20);
    const worker = started({ attemptMs: 800, leaseMs: 1_600 });
    const { id } = await oweMail(db.pool('auth'));
    const { last_error, ...row } = await ended(id);
    expect(row).toMatchObject({ outcome: 'unknown', attempts: 4, doubts: 4, secret: null });
    expect(String(last_error)).toMatch(/took too long|abort/i);

    await oweMail(db.pool('auth'));
    await eventually(() => sink.connections() >= 5);
    const before = performance.now();
    await worker.stop();
    expect(performance.now() - before).toBeLessThan(2_000);
  });

  test('that hangs is left after the time of a step', async () => {
    sink.behave('hang');
    started({ attemptMs: 5_000, retryDelaysMs: [60_000] });
    const { id } = await oweMail(db.pool('auth'));
    const before = performance.now();
    await eventually(async () => (await jobRow(db, id)).last_error);
    expect(performance.now() - before).toBeLessThan(2_500);
    expect(await jobRow(db, id)).toMatchObject({ doubts: 1 });
  });
});

describe('F29: a mailer that takes a mail and breaks the connection', () => {
  test('once: the mail is sent once more, as the same message', async () => {
    sink.behave('accept-then-reset');
    sink.beforeAnswer = () => {
      sink.beforeAnswer = undefined;
      setImmediate(() => sink.behave('accept'));
    };
    const worker = started();
    const { id } = await oweMail(db.pool('auth'));
    expect(await ended(id)).toMatchObject({ outcome: 'success', attempts: 2 });
    expect(sink.mails).toHaveLength(2);
    expect(messageIds()).toEqual(new Set([`<${id}@gatehouse.test>`]));
    const metrics = await worker.metrics.registry.metrics();
    expect(metrics).toContain('job_attempts_total{queue="mail",task="mail.send",outcome="unknown"} 1');
  });

  test('always: two copies at most, and the job says that its outcome is unknown', async () => {
    sink.behave('accept-then-reset');
    const worker = started();
    const { id } = await oweMail(db.pool('auth'));
    expect(await ended(id)).toMatchObject({ outcome: 'unknown', finished_at: null, secret: null, doubts: 4 });
    await delay(500);
    expect(sink.mails).toHaveLength(2);
    expect(messageIds().size).toBe(1);
    const metrics = await worker.metrics.registry.metrics();
    expect(metrics).toContain('job_mails_total{template="verify-address",outcome="unknown"} 1');
    expect(metrics).toContain('job_queue_length{queue="mail",state="dead"} 1');
  });

  test('refusals and failures before the content are no doubts: the mail is still sent once they end', async () => {
    sink.behave('defer');
    started({ retryDelaysMs: Array(20).fill(50) });
    const { id } = await oweMail(db.pool('auth'));
    await eventually(async () => (await jobRow(db, id)).attempts >= 4);
    sink.behave('accept');
    expect(await ended(id)).toMatchObject({ outcome: 'success', doubts: 0 });
    expect(sink.mails).toHaveLength(1);
  });
});

test('F30: with three workers and three schedulers every mail and every tick of the schedule comes once', async () => {
  const ticks: number[] = [];
  const cleanUp = async () => void ticks.push(Date.now());
  for (let i = 0; i < 3; i++) started({ nightly: { pattern: '* * * * * *', cleanUp } });
  const owed = await Promise.all(Array.from({ length: 120 }, () => oweMail(db.pool('auth'))));
  await Promise.all(owed.map(({ id }) => ended(id)));
  await eventually(() => ticks.length >= 4, { timeoutMs: 8_000 });
  expect(sink.mails.map((mail) => mail.to[0]).sort()).toEqual(owed.map(({ to }) => to).sort());
  const seconds = ticks.map((tick) => Math.floor(tick / 1_000));
  expect(seconds).toEqual(seconds.map((_, index) => (seconds[0] ?? 0) + index));
});
