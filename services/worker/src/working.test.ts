import { one, run } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { within } from '@gatehouse/kit/lifecycle';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { startRedis } from '@gatehouse/testkit/redis';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { jobRow, oweMail, testWorker } from './test-worker.ts';

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
  sink.behave('accept');
});
afterAll(async () => {
  await Promise.all([redis.close(), sink.close()]);
  await db.close();
});

function started(overrides: Parameters<typeof testWorker>[3] = {}, url = redis.url) {
  const worker = testWorker(db, url, sink, overrides);
  ends.push(worker.end);
  return worker;
}
const finished = (id: string) => eventually(async () => (await jobRow(db, id)).finished_at, { timeoutMs: 10_000 });

test('a mail that is owed is delivered, with its secret as link, and the secret is forgotten', async () => {
  const { id, to, token } = await oweMail(db.pool('auth'));
  started();

  const mail = await sink.waitFor((one) => one.to.includes(to));
  expect(mail.parsed.text).toContain(`https://gatehouse.test/verify-address#token=${token}`);
  expect(mail.parsed.messageId).toBe(`<${id}@gatehouse.test>`);
  await finished(id);
  expect(await jobRow(db, id)).toMatchObject({ attempts: 1, secret: null, last_error: null });
});

test('until it is sent, its secret is sealed in Postgres and nowhere in its payload', async () => {
  const { id, token } = await oweMail(db.pool('auth'));
  const { row } = await one(db.pool('admin'), z.object({ row: z.string() }))`
    select concat(j::text, encode(j.secret, 'escape')) as row
    from events.jobs j where j.id = ${id}`;
  expect(row).toContain(id);
  expect(row).not.toContain(token);
});

test('with two workers every mail is delivered once', async () => {
  started();
  started();
  const owed = await Promise.all(Array.from({ length: 40 }, () => oweMail(db.pool('auth'))));
  await Promise.all(owed.map(({ id }) => finished(id)));
  expect(sink.mails.map((mail) => mail.to[0]).sort()).toEqual(owed.map(({ to }) => to).sort());
});

test('while the mail server defers, the mail is tried again with the same message id, and delivered when it can be', async () => {
  sink.behave('defer');
  const { id, to } = await oweMail(db.pool('auth'));
  started();
  await eventually(async () => (await jobRow(db, id)).attempts >= 2);
  sink.behave('accept');
  const mail = await sink.waitFor((one) => one.to.includes(to));
  expect(mail.parsed.messageId).toBe(`<${id}@gatehouse.test>`);
  await finished(id);
  expect(sink.mails).toHaveLength(1);
});

test('a connection that breaks after the mail was sent leads to the same message id again', async () => {
  sink.behave('reset');
  const { id } = await oweMail(db.pool('auth'));
  started();
  await eventually(async () => (await jobRow(db, id)).attempts >= 2);
  sink.behave('accept');
  await finished(id);
  expect(new Set(sink.mails.map((mail) => mail.parsed.messageId))).toEqual(new Set([`<${id}@gatehouse.test>`]));
});

test('a mail that fails five times is dead, keeps no secret, and does not hold up the others', async () => {
  sink.behave('defer');
  const { id } = await oweMail(db.pool('auth'));
  const worker = started();
  await eventually(async () => (await jobRow(db, id)).dead_at);
  expect(await jobRow(db, id)).toMatchObject({ attempts: 5, secret: null, finished_at: null });

  sink.behave('accept');
  const next = await oweMail(db.pool('auth'));
  await finished(next.id);
  const text = await worker.metrics.registry.metrics();
  expect(text).toContain('job_queue_length{queue="mail",state="dead"} 1');
  expect(text).toContain('job_attempts_total{queue="mail",task="mail.send",outcome="failure"} 5');
  expect(text).toContain('job_attempts_total{queue="mail",task="mail.send",outcome="success"} 1');
});

test('poison at the head is dead after one attempt: an unknown job, a wrong payload, a refused recipient', async () => {
  const ids = [newId(), newId()];
  for (const [index, id] of ids.entries())
    await run(db.pool('admin'))`
      insert into events.jobs (id, name, queue, payload)
      values (${id}, ${index ? 'no.such' : 'mail.send'}, 'mail', '{"template": "verify-address", "to": 1}')`;
  const good = await oweMail(db.pool('auth'));
  started();
  for (const id of ids) {
    await eventually(async () => (await jobRow(db, id)).dead_at);
    expect(await jobRow(db, id)).toMatchObject({ attempts: 1 });
  }
  await finished(good.id);
  sink.behave('refuse');
  const refused = await oweMail(db.pool('auth'));
  await eventually(async () => (await jobRow(db, refused.id)).dead_at);
  expect(await jobRow(db, refused.id)).toMatchObject({ attempts: 1 });
});

test('a mail whose link has expired is not sent', async () => {
  const { id } = await oweMail(db.pool('auth'), { expires_at: new Date(Date.now() - 1_000).toISOString() });
  started();
  await finished(id);
  expect(await jobRow(db, id)).toMatchObject({ outcome: 'expired', secret: null });
  expect(sink.mails).toHaveLength(0);
});

test('a mail to an address that cannot exist is done without being sent, and the metrics say so', async () => {
  const { id } = await oweMail(db.pool('auth'), { to: 'someone@synthetic.invalid' });
  const worker = started();
  await finished(id);
  expect(await jobRow(db, id)).toMatchObject({ outcome: 'success', secret: null, attempts: 1, dead_at: null });
  expect(sink.mails).toEqual([]);
  const line = 'job_mails_total{template="verify-address",outcome="withheld"} 1';
  await eventually(async () => (await worker.metrics.registry.metrics()).includes(line));
});

test('neither secret nor address is ever in Redis', async () => {
  sink.behave('defer');
  const { id, to, token } = await oweMail(db.pool('auth'));
  started({ retryDelaysMs: [60_000] });
  await eventually(async () => (await jobRow(db, id)).last_error);
  const worker = testWorker(db, redis.url, sink);
  ends.push(worker.end);
  const job = await eventually(async () => {
    const one = await worker.queues.get('mail')?.getJob(id);
    return one && (await one.isDelayed()) ? one : undefined;
  });
  expect(job.data).toEqual({ id });

  const readers: Record<string, [string, ...string[]]> = {
    hash: ['hgetall'],
    list: ['lrange', '0', '-1'],
    zset: ['zrange', '0', '-1'],
    set: ['smembers'],
    stream: ['xrange', '-', '+'],
    string: ['get'],
  };
  const dump: string[] = [];
  for (const key of await redis.client.keys('*')) {
    const [command, ...range] = readers[await redis.client.type(key)] ?? ['type'];
    dump.push(key, JSON.stringify(await redis.client.call(command, key, ...range)));
  }
  expect(dump.join()).toContain(id);
  for (const hidden of [to, token, 'Ada', 'Try again']) expect(dump.join()).not.toContain(hidden);
});

test('F23: jobs that Redis forgot are handed over again and done', async () => {
  const worker = started({ lostAfterMs: 100 });
  await worker.queues.get('mail')?.pause();
  const owed = await Promise.all(Array.from({ length: 5 }, () => oweMail(db.pool('auth'))));
  for (const { id } of owed) await eventually(async () => (await jobRow(db, id)).dispatched_at);
  expect(sink.mails).toHaveLength(0);
  await redis.client.flushall();

  await Promise.all(owed.map(({ id }) => finished(id)));
  expect(sink.mails).toHaveLength(5);
});

test('F22: while Redis is away jobs wait, and are done when it is back', async () => {
  const first = await startRedis({ appendonly: false });
  const worker = started({}, first.url);
  const before = await oweMail(db.pool('auth'));
  await finished(before.id);
  process.kill(first.pid, 'SIGKILL');
  const owed = await Promise.all(Array.from({ length: 3 }, () => oweMail(db.pool('auth'))));
  await eventually(async () =>
    (await worker.metrics.registry.metrics()).includes('job_queue_length{queue="mail",state="ready"} 3'),
  );

  const second = await startRedis({ appendonly: false, port: first.port });
  try {
    await Promise.all(owed.map(({ id }) => finished(id)));
    expect(sink.mails).toHaveLength(4);
    await Promise.all(ends.splice(0).map((end) => end()));
  } finally {
    await second.stop();
  }
});

test('F24: a Redis that hangs holds neither a transaction open nor the worker back from stopping', async () => {
  const server = await startRedis({ appendonly: false });
  const worker = started({}, server.url);
  const before = await oweMail(db.pool('auth'));
  await finished(before.id);
  process.kill(server.pid, 'SIGSTOP');
  try {
    const { id } = await oweMail(db.pool('auth'));
    const ended = within(worker.stop(), 15_000);
    await ended;
    expect(await jobRow(db, id)).toMatchObject({ finished_at: null, dispatched_at: null });
    process.kill(server.pid, 'SIGCONT');
    started({}, server.url);
    await finished(id);
    await Promise.all(ends.splice(0).map((end) => end()));
  } finally {
    process.kill(server.pid, 'SIGCONT');
    await server.stop();
  }
});

test('every metric is there from the start', async () => {
  const text = await started().metrics.registry.metrics();
  for (const line of [
    'job_queue_length{queue="mail",state="ready"} 0',
    'job_queue_length{queue="maintenance",state="dead"} 0',
    'job_oldest_ready_age_seconds{queue="mail"} 0',
    'job_start_lag_seconds_count 0',
    'job_attempts_total{queue="mail",task="mail.send",outcome="failure"} 0',
    'job_duration_seconds_count{queue="mail",task="mail.send",outcome="success"} 0',
    'worker_heartbeat_timestamp_seconds',
  ])
    expect(text.replaceAll(/le="[^"]+",/g, '')).toContain(line);
});
