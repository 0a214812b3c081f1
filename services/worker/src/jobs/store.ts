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
  fence: z.number(),
});
export type OwedJob = z.infer<typeof OwedJob>;

/**
 * Starts an attempt, counted before anything can go wrong. The fence grows with it: whoever began before can no longer
 * write. Undefined when nothing is owed any more.
 */
export function startJob(pool: Pool, id: string, now: Date): Promise<OwedJob | undefined> {
  return maybe(pool, OwedJob)`
    update events.jobs j
    set attempts = j.attempts + 1, fence = j.fence + 1, dispatched_at = ${now}
    where j.id = ${id} and j.finished_at is null and j.dead_at is null
    returning j.id, j.name, j.queue, j.payload, j.secret, j.run_after, j.attempts, j.fence`;
}

/** Ends the job and forgets its secret; false when another attempt has begun since. */
export async function finishJob(pool: Pool, { id, fence }: OwedJob, now: Date, note: string | null): Promise<boolean> {
  const count = await run(pool)`
    update events.jobs set finished_at = ${now}, secret = null, last_error = ${note}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

/** Notes a failed attempt and when the next is due. */
export async function postponeJob(pool: Pool, { id, fence }: OwedJob, due: Date, reason: string): Promise<boolean> {
  const count = await run(pool)`
    update events.jobs set run_after = ${due}, last_error = ${reason}
    where id = ${id} and fence = ${fence} and finished_at is null and dead_at is null`;
  return count === 1;
}

/** Gives the job up: it stays as a dead letter, without its secret. */
export async function buryJob(pool: Pool, { id, fence }: OwedJob, now: Date, reason: string): Promise<boolean> {
  const count = await run(pool)`
    update events.jobs set dead_at = ${now}, secret = null, last_error = ${reason}
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
