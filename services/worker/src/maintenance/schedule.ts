import type { Clock } from '@gatehouse/kit/clock';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { type Job, jobFailure, type Queue } from '@gatehouse/kit/queue';
import type { JobMetrics } from '../jobs/job-metrics.ts';

const NIGHTLY = 'maintenance.nightly';
// Away from the full hour, when everyone's schedules run. UTC.
const PATTERN = '17 3 * * *';
const RETRY_MS = 5 * 60_000;
const ATTEMPTS = 3;

// A day, and what the nights of a schedule of days may lie apart besides.
const NEXT_WITHIN_MS = 25 * 3_600_000;

/**
 * Makes sure that the schedule is in Redis, one for all workers; asked for again and again, since Redis may lose it. The
 * next night is reckoned by the clock of whoever ran the last one, or set the schedule: never before that night's own
 * time, so that a clock that is behind does not double it. One that was far ahead has put it off, and it is set again.
 */
export async function ensureSchedule(queue: Queue, pattern = PATTERN): Promise<void> {
  const known = await queue.getJobScheduler(NIGHTLY);
  if (known?.next !== undefined && known.next - Date.now() < NEXT_WITHIN_MS) return;
  const opts = { attempts: ATTEMPTS, backoff: { type: 'custom' }, stackTraceLimit: 0 };
  await queue.upsertJobScheduler(NIGHTLY, { pattern, tz: 'UTC' }, { name: NIGHTLY, data: {}, opts });
}

interface ScheduleDeps {
  queue: Queue;
  log: Logger;
  everyMs?: number;
  /** False: this machine's clock sets no schedule for now. */
  mayRun?: () => boolean;
  pattern?: string;
}

const EVERY_MS = 60_000;

/** Keeps the schedule in place until stopped; `ensure` looks at once. */
export function keepSchedule({ queue, log, everyMs = EVERY_MS, mayRun, pattern = PATTERN }: ScheduleDeps) {
  let missing = false;
  const ensure = () => {
    if (mayRun?.() === false) return;
    ensureSchedule(queue, pattern).then(
      () => {
        missing = false;
      },
      (error: unknown) => {
        if (!missing) log.warn('the nightly schedule cannot be set', errorFields(error));
        missing = true;
      },
    );
  };
  ensure();
  const timer = setInterval(ensure, everyMs);
  return { ensure, stop: () => clearInterval(timer) };
}

interface TaskDeps {
  clock: Clock;
  metrics: JobMetrics;
  cleanUp: () => Promise<void>;
}

/** Runs the tasks of the schedule. Their times are BullMQ's; nothing is owed in Postgres. */
export function createScheduledTasks({ clock, metrics, cleanUp }: TaskDeps) {
  return async ({ name }: Pick<Job, 'name'>): Promise<void> => {
    if (name !== NIGHTLY) throw jobFailure('unknown');
    const end = metrics.started({ queue: 'maintenance', name, run_after: clock() }, clock());
    try {
      await cleanUp();
      end('success');
    } catch {
      end('failure');
      throw jobFailure('failed', RETRY_MS);
    }
  };
}
