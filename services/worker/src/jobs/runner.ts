import { setTimeout as delay } from 'node:timers/promises';
import { JOBS, type JobName, type JobPayload } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import { requestContext } from '@gatehouse/kit/context';
import type { Pool } from '@gatehouse/kit/db';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { type Job, jobFailure } from '@gatehouse/kit/queue';
import { captureError } from '@gatehouse/kit/sentry';
import { doubtOf, type Failure, failed, failureOf, TOO_LATE } from './failure.ts';
import type { JobMetrics } from './job-metrics.ts';
import { buryJob, commitJob, finishJob, type OwedJob, postponeJob, startJob } from './store.ts';

/** How a job ended without an error: done, of no use any more, or done but for an effect that could reach nobody. */
export type JobEnd = 'success' | 'expired' | 'withheld';
export interface JobRun<N extends JobName> {
  id: string;
  payload: JobPayload<N>;
  secret: Buffer | null;
  /** Aborted when the attempt has had its time: whatever it does must stop then. */
  signal: AbortSignal;
  /** To be called right before the effect; when it throws, there must be none. */
  commit(): Promise<void>;
}
/** Must be idempotent: a job runs at least once. What its errors mean is said by `failed`. */
export type Handlers = { [N in JobName]: (run: JobRun<N>) => Promise<JobEnd> };

export interface RunnerDeps {
  pool: Pool;
  clock: Clock;
  log: Logger;
  metrics: JobMetrics;
  handlers: Handlers;
  /** Pauses before the second attempt and those after it; one more than these and the job is dead. */
  retryDelaysMs?: readonly number[];
  attemptMs?: number;
  leaseMs?: number;
}

const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];
/** Over a day in all: a mail server may be away that long. A job whose use ends earlier ends with it. */
export const RETRY_DELAYS_MS = [
  ...[10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE],
  ...[HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 12 * HOUR],
];
/** The whole time of an attempt, shorter than the 25 s that a worker has to stop. */
const ATTEMPT_MS = 20_000;
/** After this an attempt that was not heard of again counts as dead. A worker that died is replaced within a minute. */
const LEASE_MS = 30_000;
/** From so many doubts on there are probably two copies of a mail, and a third is not sent. */
const DOUBTS_MAX = 4;
const RETRY_AFTER_MAX_MS = HOUR;
const SUPERSEDED = 'superseded';

/** Runs owed jobs: what BullMQ carries is only the id, everything else comes from Postgres and goes there. */
export function createRunner(deps: RunnerDeps) {
  const {
    pool,
    clock,
    log,
    metrics,
    retryDelaysMs = RETRY_DELAYS_MS,
    attemptMs = ATTEMPT_MS,
    leaseMs = LEASE_MS,
  } = deps;

  /** A job that has ended must not be run again because Postgres was away for a moment. */
  async function persist(write: () => Promise<boolean>, job: OwedJob): Promise<void> {
    for (const pauseMs of [100, 500, 2_000, undefined]) {
      try {
        if (!(await write())) log.warn('a job ended after another attempt had begun', { 'job.id': job.id });
        return;
      } catch (error) {
        if (pauseMs === undefined) throw error;
        await delay(pauseMs);
      }
    }
  }

  async function expire(job: OwedJob, reason: string | null): Promise<void> {
    await persist(() => finishJob(pool, job, { now: clock(), outcome: 'expired', reason }), job);
    metrics.ended(job, job.doubts > 0 ? 'unknown' : 'expired');
  }

  async function bury(job: OwedJob, { code, reason, doubt }: Failed): Promise<Error> {
    await persist(() => buryJob(pool, job, { now: clock(), reason, doubt }), job);
    const outcome = job.doubts + doubt > 0 ? 'unknown' : 'failure';
    metrics.ended(job, outcome);
    log.error('a job is dead', { 'job.id': job.id, 'job.name': job.name, attempt: job.attempts, code, outcome });
    // Only the code: the reason may name an address.
    captureError(Object.assign(new Error(`${job.name} is dead: ${code}`), { code }), 'job');
    return jobFailure(code);
  }

  /** Tells what Redis gets to know of it; nothing when the job has ended. */
  async function fail(job: OwedJob, error: unknown, failure: Failure): Promise<Error | undefined> {
    const { kind, ours, retryAfterMs = 0 } = failure;
    const reason = String((error as Error | undefined)?.message ?? error).slice(0, 500);
    const code = codeOf(error);
    const doubt = doubtOf(failure);
    const delayMs = retryDelaysMs[job.attempts - 1];
    if (delayMs === undefined || kind === 'permanent' || job.doubts + doubt >= DOUBTS_MAX)
      return bury(job, { code, reason, doubt });

    const pauseMs = Math.max(delayMs * (1 + Math.random() / 4), Math.min(retryAfterMs, RETRY_AFTER_MAX_MS));
    const due = new Date(clock().getTime() + Math.round(pauseMs));
    const usefulUntil = endOfUse(job);
    if (usefulUntil && usefulUntil <= due && doubt === 0) {
      await expire(job, reason);
      return undefined;
    }
    await persist(() => postponeJob(pool, job, { due, reason, doubt }), job);
    const fields = { 'job.id': job.id, 'job.name': job.name, attempt: job.attempts, code };
    if (ours) log.error('our own settings or credential are refused; jobs wait until that is put right', fields);
    else log.warn('a job failed and will be tried again', fields);
    return jobFailure(code, Math.round(pauseMs));
  }

  async function attempt(job: OwedJob): Promise<Error | undefined> {
    const end = metrics.started(job, clock());
    let committed = false;
    const commit = async () => {
      if (!(await commitJob(pool, job))) throw failed('another attempt has begun', SUPERSEDED, { kind: 'temporary' });
      committed = true;
    };
    let outcome: JobEnd;
    try {
      outcome = await withDeadline(attemptMs, (signal) => handle(deps.handlers, job, { signal, commit }));
    } catch (error) {
      const failure = failureOf(error, committed);
      end(failure.kind === 'unknown' ? 'unknown' : 'failure');
      if (codeOf(error) !== SUPERSEDED) return fail(job, error, failure);
      log.warn('an attempt gave way to a later one', { 'job.id': job.id, 'job.name': job.name });
      return undefined;
    }
    end(outcome);
    if (outcome === 'expired') await expire(job, null);
    else {
      await persist(() => finishJob(pool, job, { now: clock(), outcome: 'success' }), job);
      metrics.ended(job, outcome);
      if (outcome === 'withheld')
        log.info('a mail to an address that cannot exist was not sent', {
          'job.id': job.id,
          'job.name': job.name,
          outcome,
        });
    }
    return undefined;
  }

  async function runOwed(id: string): Promise<Error | undefined> {
    const job = await startJob(pool, id, clock(), leaseMs);
    if (!job) return undefined;
    // The workers of its attempts died with them: another would, too.
    if (job.attempts > retryDelaysMs.length + 1)
      return bury(job, { code: 'abandoned', reason: 'every attempt died', doubt: 0 });
    if (job.doubts >= DOUBTS_MAX)
      return bury(job, { code: 'unknown', reason: 'its attempts died while they had their effect', doubt: 0 });
    return attempt(job);
  }

  return async function run({ data }: Pick<Job, 'data'>): Promise<void> {
    const id = String(data.id);
    await requestContext.run({ request_id: id, trace_id: id.replaceAll('-', '') }, async () => {
      const failure = await runOwed(id).catch((error: unknown) => {
        log.error('a job could not be carried on; it is begun again when its lease has ended', errorFields(error));
        return jobFailure('interrupted');
      });
      if (failure) throw failure;
    });
  };
}

interface Failed {
  code: string;
  reason: string;
  doubt: number;
}

const codeOf = (error: unknown): string => String((error as { code?: unknown } | undefined)?.code ?? 'failed');

/** Ends an attempt after its time, also when whatever it waits for does not listen to the signal. */
async function withDeadline<T>(attemptMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error('the attempt took too long'), { code: TOO_LATE }));
      ending.abort();
    }, attemptMs);
  });
  try {
    return await Promise.race([work(ending.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The moment from which on a job is of no use, when it has one. */
function endOfUse({ payload }: OwedJob): Date | undefined {
  const until = (payload as { expires_at?: unknown } | null)?.expires_at;
  return typeof until === 'string' ? new Date(until) : undefined;
}

type Attempt = Pick<JobRun<JobName>, 'signal' | 'commit'>;

async function handle(handlers: Handlers, { id, name, payload, secret }: OwedJob, attempt: Attempt): Promise<JobEnd> {
  const known = Object.hasOwn(JOBS, name) ? (name as JobName) : undefined;
  if (!known) throw failed(`no such job: ${name}`, 'no_such_job', { kind: 'permanent' });
  const parsed = JOBS[known].payload.safeParse(payload);
  if (!parsed.success)
    throw failed('the payload is not of the form that the job declares', 'payload_invalid', { kind: 'permanent' });
  return handlers[known]({ id, payload: parsed.data, secret, ...attempt });
}
