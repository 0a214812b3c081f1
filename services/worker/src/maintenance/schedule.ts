import type { Clock } from '@gatehouse/kit/clock';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { type Job, jobFailure, type Queue } from '@gatehouse/kit/queue';
import type { JobMetrics } from '../jobs/job-metrics.ts';

const NIGHTLY = 'maintenance.nightly';
// Away from the full hour, when everyone's schedules run. UTC.
const PATTERN = '17 3 * * *';
const RETRY_MS = 5 * 60_000;
const ATTEMPTS = 3;

/** Makes sure that the schedule is in Redis, one for all workers; asked for again and again, since Redis may lose it. */
export async function ensureSchedule(queue: Queue, pattern = PATTERN): Promise<void> {
  if (await queue.getJobScheduler(NIGHTLY)) return;
  const opts = { attempts: ATTEMPTS, backoff: { type: 'custom' }, stackTraceLimit: 0 };
  await queue.upsertJobScheduler(NIGHTLY, { pattern, tz: 'UTC' }, { name: NIGHTLY, data: {}, opts });
}

interface ScheduleDeps {
  queue: Queue;
  log: Logger;
  everyMs?: number;
  pattern?: string;
}

const EVERY_MS = 60_000;

/** Keeps the schedule in place until stopped. */
export function keepSchedule({ queue, log, everyMs = EVERY_MS, pattern = PATTERN }: ScheduleDeps) {
  let missing = false;
  const ensure = () =>
    ensureSchedule(queue, pattern).then(
      () => {
        missing = false;
      },
      (error: unknown) => {
        if (!missing) log.warn('the nightly schedule cannot be set', errorFields(error));
        missing = true;
      },
    );
  void ensure();
  const timer = setInterval(ensure, everyMs);
  return { stop: () => clearInterval(timer) };
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
