import { JOBS, MAIL_SECRET, type Mail } from '@gatehouse/contracts/jobs';
import { systemClock } from '@gatehouse/kit/clock';
import { deriveKey, seal } from '@gatehouse/kit/crypto';
import { type Db, one } from '@gatehouse/kit/db';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { enqueue } from '@gatehouse/kit/outbox';
import type { TestDatabase } from '@gatehouse/testkit/database';
import type { MailSink } from '@gatehouse/testkit/mail';
import { z } from 'zod';
import { smtpTransport } from './mail/smtp.ts';
import type { Transport } from './mail/transport.ts';
import { startWorking, type Working, type WorkingDeps } from './working.ts';

export const PUBLIC_URL = 'https://gatehouse.test';
export const mailKey = deriveKey('for the tests of the worker only', MAIL_SECRET.purpose);
export const quietLog = createLogger({ service: 'worker', version: '0', environment: 'test', level: 'error' });
quietLog.silent = true;

interface TestWorker extends Working {
  metrics: ReturnType<typeof createMetrics>;
  end(): Promise<void>;
}

/** A worker as main starts it, with short pauses. */
export function testWorker(
  db: TestDatabase,
  redisUrl: string,
  sink: Pick<MailSink, 'host' | 'port'>,
  { transport, ...overrides }: Partial<WorkingDeps> & { transport?: Transport } = {},
): TestWorker {
  const metrics = createMetrics({ version: '0', revision: '0' });
  const smtp = smtpTransport({ host: sink.host, port: sink.port, security: 'none', timeoutMs: 1_000 });
  const working = startWorking({
    pool: db.pool('worker'),
    clock: systemClock,
    log: quietLog,
    metrics,
    redis: { url: redisUrl },
    mail: {
      transport: transport ?? smtp,
      mailKeys: [mailKey],
      publicUrl: PUBLIC_URL,
      from: 'Gatehouse <no-reply@gatehouse.test>',
    },
    retryDelaysMs: [50, 50, 50, 50],
    lostAfterMs: 300,
    sweepMs: 100,
    ...overrides,
  });
  return {
    ...working,
    metrics,
    async end() {
      await working.stop();
      working.disconnect();
    },
  };
}

let mails = 0;

/** Owes a mail with a secret; every one goes to an address of its own. */
export async function oweMail(db: Db, overrides: Partial<Mail> = {}) {
  const to = `user${++mails}@example.test`;
  const token = `token-${mails}-${'s'.repeat(20)}`;
  const mail = JOBS['mail.send'].payload.parse({
    template: 'verify-address',
    to,
    params: { name: 'Ada' },
    ...overrides,
  });
  const id = await enqueue(db, 'mail.send', mail, { secret: seal(mailKey, token, MAIL_SECRET.aad) });
  return { id, to: mail.to, token };
}

const Row = z.object({
  finished_at: z.date().nullable(),
  dead_at: z.date().nullable(),
  dispatched_at: z.date().nullable(),
  attempts: z.number(),
  secret: z.instanceof(Buffer).nullable(),
  last_error: z.string().nullable(),
  doubts: z.number(),
  outcome: z.string().nullable(),
});

export function jobRow(db: TestDatabase, id: string) {
  return one(db.pool('admin'), Row)`
    select j.finished_at, j.dead_at, j.dispatched_at, j.attempts, j.secret, j.last_error, j.doubts,
           j.outcome
    from events.jobs j where j.id = ${id}`;
}
