import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { one, run, transaction } from '@gatehouse/kit/db';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { waitForOutput } from '@gatehouse/testkit/process';
import { type TestRedis, testRedis } from '@gatehouse/testkit/test-redis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import type { ProcessSettings } from './test-process.ts';
import { jobRow, oweMail } from './test-worker.ts';

const PROGRAM = fileURLToPath(new URL('test-process.ts', import.meta.url));
// A tenth of what holds in production: there a killed worker's jobs go on within 35 s of its last sign of life.
const [LEASE_MS, LOCK_MS] = [3_000, 2_000];
const GOES_ON_MS = 6_000;

let db: TestDatabase;
let redis: TestRedis;
let sink: MailSink;
const children: ChildProcess[] = [];

beforeAll(async () => {
  [db, redis] = await Promise.all([testDatabase(), testRedis()]);
});
beforeEach(async () => {
  sink = await mailSink();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await redis.flush();
  await sink.close();
});
afterAll(async () => {
  await redis.close();
  await db.close();
});

async function startProcess(): Promise<ChildProcess> {
  const settings: ProcessSettings = {
    database: db.connection('worker'),
    redisUrl: redis.url,
    smtp: { host: sink.host, port: sink.port },
    leaseMs: LEASE_MS,
    lockMs: LOCK_MS,
  };
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  await waitForOutput(child, /^ready/, 'the worker');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

const ended = (id: string) =>
  eventually(
    async () => {
      const row = await jobRow(db, id);
      return row.finished_at || row.dead_at ? row : undefined;
    },
    { timeoutMs: GOES_ON_MS },
  );
/** Whether the worker waits to write that its mail is sent; ends its connection when asked to. */
async function dropWaiting(end: boolean): Promise<boolean> {
  const { found } = await one(db.pool('admin'), z.object({ found: z.boolean() }))`
    select coalesce(bool_or(not ${end}::boolean or pg_terminate_backend(a.pid)), false) as found
    from pg_stat_activity a
    where a.datname = current_database() and a.wait_event_type = 'Lock' and a.query like '%finished_at%'`;
  return found;
}

const messageIds = () => new Set(sink.mails.map((mail) => mail.parsed.messageId));

test('F04: killed when the server has the mail and has not said so: sent again once, as the same message', async () => {
  const child = await startProcess();
  const killed = new Promise<void>((resolve) => {
    sink.beforeAnswer = () => {
      sink.beforeAnswer = undefined;
      resolve(kill(child));
    };
  });
  const { id } = await oweMail(db.pool('auth'));
  await killed;
  expect(await jobRow(db, id)).toMatchObject({ finished_at: null, doubts: 2 });

  await startProcess();
  expect(await ended(id)).toMatchObject({ outcome: 'success', secret: null });
  expect(sink.mails).toHaveLength(2);
  expect(messageIds()).toEqual(new Set([`<${id}@gatehouse.test>`]));
});

test('F04: killed when the server has said so and the database has not: the same', async () => {
  const child = await startProcess();
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let held: Promise<void> | undefined;
  sink.beforeAnswer = () => {
    sink.beforeAnswer = undefined;
    // Holds the row, so that the worker cannot write that the mail is sent.
    return new Promise<void>((locked) => {
      held = transaction(db.pool('admin'), async (tx) => {
        await run(tx)`select 1 from events.jobs for update`;
        locked();
        await released;
      });
    });
  };
  const { id } = await oweMail(db.pool('auth'));
  await eventually(() => dropWaiting(false));
  await kill(child);
  // Else the server would still carry out what the dead process had asked for.
  expect(await dropWaiting(true)).toBe(true);
  release();
  await held;

  await startProcess();
  expect(await ended(id)).toMatchObject({ outcome: 'success', secret: null });
  expect(sink.mails).toHaveLength(2);
  expect(messageIds().size).toBe(1);
});

test('F04: killed with many mails under way: each arrives, at most twice, and most of them once', async () => {
  const child = await startProcess();
  sink.behave('tarpit', 10);
  const owed = await Promise.all(Array.from({ length: 40 }, () => oweMail(db.pool('auth'))));
  await eventually(() => sink.mails.length >= 15);
  await kill(child);
  await startProcess();
  for (const { id } of owed) expect(await ended(id)).toMatchObject({ outcome: 'success', secret: null });
  const copies = owed.map(({ to }) => sink.mails.filter((mail) => mail.to.includes(to)).length);
  expect(Math.min(...copies)).toBe(1);
  expect(Math.max(...copies)).toBeLessThanOrEqual(2);
  expect(messageIds().size).toBe(40);
  // Five at a time were under way.
  expect(copies.filter((count) => count === 2).length).toBeLessThanOrEqual(5);
});

test('F32: a mail whose sending ends two workers is not tried on a third, and the others are sent', async () => {
  const { id } = await oweMail(db.pool('auth'));
  for (let round = 0; round < 2; round++) {
    const child = await startProcess();
    await new Promise<void>((resolve) => {
      sink.beforeAnswer = () => {
        sink.beforeAnswer = undefined;
        resolve(kill(child));
      };
    });
  }
  const other = await oweMail(db.pool('auth'));
  await startProcess();
  expect(await ended(other.id)).toMatchObject({ outcome: 'success' });
  expect(await ended(id)).toMatchObject({ outcome: 'unknown', secret: null, finished_at: null, doubts: 4 });
  expect(sink.mails.filter((mail) => !mail.to.includes(other.to))).toHaveLength(2);
});
