import { many, maybe, type Pool, run } from '@gatehouse/kit/db';
import { z } from 'zod';

const OwedJob = z.object({
  id: z.string(),
  name: z.string(),
  queue: z.string(),
  payload: z.unknown(),
  secret: z.instanceof(Buffer).nullable(),
  run_after: z.date(),
  attempts: z.number(),
  doubts: z.number(),
  fence: z.number(),
});
export type OwedJob = z.infer<typeof OwedJob>;

/**
 * Starts an attempt, counted before anything can go wrong. The job is this attempt's alone until the lease ends; the
 * fence grows with it, so that whoever began before can no longer write. Undefined when nothing is owed any more, or
 * another attempt has it.
 */
export function startJob(pool: Pool, id: string, now: Date, leaseMs: number): Promise<OwedJob | undefined> {
  return maybe(pool, OwedJob)`
    update events.jobs j
    set attempts = j.attempts + 1, fence = j.fence + 1, dispatched_at = ${now},
        leased_until = ${new Date(now.getTime() + leaseMs)}
    where j.id = ${id} and j.finished_at is null and j.dead_at is null
      and (j.leased_until is null or j.leased_until <= ${now})
    returning j.id, j.name, j.queue, j.payload, j.secret, j.run_after, j.attempts, j.doubts, j.fence`;
}

/** What the death of a worker in the middle of an effect leaves. */
const DEATH_DOUBT = 2;

/**
 * Notes that the effect comes next: who dies after this leaves a doubt. False when another attempt has begun since,
 * and then there must be no effect.
 */
export async function commitJob(pool: Pool, { id, fence, doubts }: OwedJob): Promise<boolean> {
  const count = await run(pool)`
    update events.jobs set doubts = ${doubts + DEATH_DOUBT}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

/** Ends the job and forgets its secret; false when another attempt has begun since. */
export async function finishJob(
  pool: Pool,
  { id, fence, doubts }: OwedJob,
  { now, outcome, reason = null }: { now: Date; outcome: 'success' | 'expired'; reason?: string | null },
): Promise<boolean> {
  // Of no use any more, but one of its attempts may have worked.
  const known = outcome === 'expired' && doubts > 0 ? 'unknown' : outcome;
  const count = await run(pool)`
    update events.jobs
    set finished_at = ${now}, secret = null, outcome = ${known}, last_error = ${reason}, leased_until = null,
        doubts = ${doubts}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

interface FailedAttempt {
  reason: string;
  /** How much speaks for an effect that it had all the same. */
  doubt: number;
}

/** Notes a failed attempt and when the next is due. */
export async function postponeJob(
  pool: Pool,
  { id, fence, doubts }: OwedJob,
  { due, reason, doubt }: FailedAttempt & { due: Date },
): Promise<boolean> {
  const count = await run(pool)`
    update events.jobs
    set run_after = ${due}, last_error = ${reason}, leased_until = null, doubts = ${doubts + doubt}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

/** Gives the job up: it stays as a dead letter, without its secret. */
export async function buryJob(
  pool: Pool,
  { id, fence, doubts }: OwedJob,
  { now, reason, doubt }: FailedAttempt & { now: Date },
): Promise<boolean> {
  const left = doubts + doubt;
  const count = await run(pool)`
    update events.jobs
    set dead_at = ${now}, secret = null, outcome = ${left > 0 ? 'unknown' : 'failure'}, last_error = ${reason},
        leased_until = null, doubts = ${left}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

const Backlog = z.object({
  queue: z.string(),
  ready: z.number(),
  delayed: z.number(),
  dead: z.number(),
  oldest_ready_at: z.date().nullable(),
});
export type Backlog = z.infer<typeof Backlog>;

/** What each of the queues owes, is not due yet, and gave up. */
export function listBacklogs(pool: Pool, queues: readonly string[], now: Date): Promise<Backlog[]> {
  return many(pool, Backlog)`
    select q.queue,
           count(j.id) filter (where j.dead_at is null and j.run_after <= ${now}) as ready,
           count(j.id) filter (where j.dead_at is null and j.run_after > ${now}) as delayed,
           count(j.id) filter (where j.dead_at is not null) as dead,
           min(j.run_after) filter (where j.dead_at is null and j.run_after <= ${now}) as oldest_ready_at
    from unnest(${[...queues]}::text[]) as q (queue)
    left join events.jobs j on j.queue = q.queue and j.finished_at is null
    group by q.queue`;
}
