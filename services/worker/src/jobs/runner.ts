import { JOBS, type JobName, type JobPayload } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import { requestContext } from '@gatehouse/kit/context';
import type { Pool } from '@gatehouse/kit/db';
import type { Logger } from '@gatehouse/kit/log';
import { type Job, jobFailure } from '@gatehouse/kit/queue';
import type { JobMetrics } from './job-metrics.ts';
import { buryJob, finishJob, type OwedJob, postponeJob, startJob } from './store.ts';

/** How a job ended without an error: done, or of no use any more. */
export type JobEnd = 'success' | 'expired';
export interface JobRun<N extends JobName> {
  id: string;
  payload: JobPayload<N>;
  secret: Buffer | null;
}
/** Must be idempotent: a job runs at least once. Throws `permanent(error)` where trying again is of no use. */
export type Handlers = { [N in JobName]: (run: JobRun<N>) => Promise<JobEnd> };

export interface RunnerDeps {
  pool: Pool;
  clock: Clock;
  log: Logger;
  metrics: JobMetrics;
  handlers: Handlers;
  /** Pauses before the second attempt and those after it; one more than these and the job is dead. */
  retryDelaysMs?: readonly number[];
}

// Over half an hour in all: a mail server may be away that long. 5 attempts.
export const RETRY_DELAYS_MS = [10_000, 60_000, 5 * 60_000, 30 * 60_000];

/** Marks an error that another attempt would only repeat. */
export function permanent(error: unknown): Error {
  return Object.assign(new Error((error as Error).message, { cause: error }), { permanent: true });
}

/** Runs owed jobs: what BullMQ carries is only the id, everything else comes from Postgres and goes there. */
export function createRunner(deps: RunnerDeps) {
  const { pool, clock, log, metrics, retryDelaysMs = RETRY_DELAYS_MS } = deps;

  async function fail(job: OwedJob, error: unknown): Promise<never> {
    // The reason may name an address: it stays in Postgres. Redis and the log get the code alone.
    const reason = String((error as Error | undefined)?.message ?? error).slice(0, 500);
    const code = String((error as { code?: unknown } | undefined)?.code ?? 'failed');
    const delayMs = retryDelaysMs[job.attempts - 1];
    const fields = { 'job.id': job.id, 'job.name': job.name, attempt: job.attempts, code };
    if (delayMs === undefined || (error as { permanent?: boolean }).permanent) {
      await buryJob(pool, job, clock(), reason);
      log.error('a job is dead', fields);
      throw jobFailure(code);
    }
    const retryInMs = Math.round(delayMs * (1 + Math.random() / 4));
    await postponeJob(pool, job, new Date(clock().getTime() + retryInMs), reason);
    log.warn('a job failed and will be tried again', fields);
    throw jobFailure(code, retryInMs);
  }

  async function attempt(job: OwedJob): Promise<void> {
    const end = metrics.started(job, clock());
    try {
      const outcome = await handle(deps.handlers, job);
      end(outcome);
      const ended = await finishJob(pool, job, clock(), outcome === 'success' ? null : outcome);
      if (!ended) log.warn('a job ended after another attempt had begun', { 'job.id': job.id, attempt: job.attempts });
    } catch (error) {
      end('failure');
      await fail(job, error);
    }
  }

  return async function run({ data }: Pick<Job, 'data'>): Promise<void> {
    const id = String(data.id);
    await requestContext.run({ request_id: id, trace_id: id.replaceAll('-', '') }, async () => {
      const job = await startJob(pool, id, clock());
      if (job) await attempt(job);
    });
  };
}

async function handle(handlers: Handlers, { id, name, payload, secret }: OwedJob): Promise<JobEnd> {
  const known = Object.hasOwn(JOBS, name) ? (name as JobName) : undefined;
  if (!known) throw permanent(new Error(`no such job: ${name}`));
  const parsed = JOBS[known].payload.safeParse(payload);
  if (!parsed.success) throw permanent(new Error('the payload is not of the form that the job declares'));
  return handlers[known]({ id, payload: parsed.data, secret });
}
