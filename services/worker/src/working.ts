import type { Clock } from '@gatehouse/kit/clock';
import type { Pool } from '@gatehouse/kit/db';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import { openQueue, type Queue, queueConnection, work } from '@gatehouse/kit/queue';
import { startClockGate } from './clock-gate.ts';
import { startDispatching } from './dispatch/dispatching.ts';
import { jobMetrics, QUEUES, type QueueName } from './jobs/job-metrics.ts';
import { createRunner } from './jobs/runner.ts';
import { createPace } from './mail/pace.ts';
import { type MailDeps, sendMail } from './mail/send-mail.ts';
import { cleanUp } from './maintenance/nightly.ts';
import { createScheduledTasks, keepSchedule } from './maintenance/schedule.ts';

export interface WorkingDeps {
  pool: Pool;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  redis: { url: string; password?: string | undefined };
  mail: Omit<MailDeps, 'clock'>;
  /** Shorter in tests. */
  retryDelaysMs?: readonly number[];
  attemptMs?: number;
  leaseMs?: number;
  lockMs?: number;
  slowMs?: number;
  lostAfterMs?: number;
  sweepMs?: number;
  clockCheckMs?: number;
  nightly?: { pattern?: string; cleanUp?: () => Promise<void> };
}

export interface Working {
  queues: ReadonlyMap<QueueName, Queue>;
  /** Takes nothing new and waits for what runs. */
  stop(): Promise<void>;
  /** Closes the connections to Redis. */
  disconnect(): void;
}

const MAIL_CONCURRENCY = 5;
const SLOW_MS = 2_000;

/** Starts everything that works in the background: the dispatcher, the workers of each queue, the schedule. */
export function startWorking(deps: WorkingDeps): Working {
  const { pool, clock, log, redis, mail, nightly = {} } = deps;
  const metrics = jobMetrics(deps.metrics, pool, clock);
  const producer = queueConnection({ ...redis, log }, { blocking: false });
  const consumer = queueConnection({ ...redis, log }, { blocking: true });
  const queues = new Map(QUEUES.map((name) => [name, openQueue(name, producer)]));

  const pace = createPace({
    most: MAIL_CONCURRENCY,
    slowMs: deps.slowMs ?? SLOW_MS,
    set(count) {
      mailWorker.concurrency = count;
    },
  });
  const handlers = {
    'mail.send': (run: Parameters<typeof sendMail>[1]) => pace(() => sendMail({ ...mail, clock }, run)),
  };
  const runOwed = createRunner({
    pool,
    clock,
    log,
    metrics,
    handlers,
    ...given(deps, ['retryDelaysMs', 'attemptMs', 'leaseMs']),
  });
  const runScheduled = createScheduledTasks({
    clock,
    metrics,
    cleanUp: nightly.cleanUp ?? (() => cleanUp({ pool, clock, log })),
  });
  const shared = { connection: consumer, autorun: false, ...given(deps, ['lockMs']) };
  const mailWorker = work({ ...shared, queue: 'mail', concurrency: MAIL_CONCURRENCY, handle: runOwed });
  const workers = [mailWorker, work({ ...shared, queue: 'maintenance', concurrency: 1, handle: runScheduled })];
  const gate = startClockGate({
    pool,
    clock,
    log,
    onRight() {
      schedule.ensure();
      for (const worker of workers) worker.resume().catch(() => undefined);
    },
    onWrong() {
      for (const worker of workers) worker.pause(true).catch(() => undefined);
    },
    ...(deps.clockCheckMs === undefined ? {} : { everyMs: deps.clockCheckMs }),
  });
  const dispatching = startDispatching({
    pool,
    clock,
    log,
    queues,
    beat: metrics.beat,
    mayRun: gate.isRight,
    ...given(deps, ['lostAfterMs', 'sweepMs']),
  });
  const schedule = keepSchedule({
    queue: queues.get('maintenance') as Queue,
    log,
    mayRun: gate.isRight,
    ...(nightly.pattern ? { pattern: nightly.pattern } : {}),
  });

  function disconnect(): void {
    for (const worker of workers) worker.disconnect().catch(() => undefined);
    producer.disconnect();
    consumer.disconnect();
  }

  return {
    queues,
    async stop() {
      schedule.stop();
      gate.stop();
      // The workers wait for answers without a limit; a Redis that hangs gives none. What was done is in Postgres.
      if (producer.status === 'ready') producer.ping().catch(disconnect);
      await Promise.all([dispatching.stop(), ...workers.map((worker) => worker.close())]);
    },
    disconnect,
  };
}

/** Those of the options that were given: an absent one leaves the default. */
function given<K extends keyof WorkingDeps>(deps: WorkingDeps, names: K[]): { [N in K]?: NonNullable<WorkingDeps[N]> } {
  const entries = names.filter((name) => deps[name] !== undefined).map((name) => [name, deps[name]]);
  return Object.fromEntries(entries) as { [N in K]?: NonNullable<WorkingDeps[N]> };
}
