import { many, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const DueJob = z.object({ id: z.string(), name: z.string(), queue: z.string() });
export type DueJob = z.infer<typeof DueJob>;

/** Locks jobs that are due and were never handed to Redis; those another dispatcher holds are passed over. */
export function lockDueJobs(tx: Tx, now: Date, limit: number): Promise<DueJob[]> {
  return many(tx, DueJob)`
    select j.id, j.name, j.queue from events.jobs j
    where j.dispatched_at is null and j.finished_at is null and j.dead_at is null and j.run_after <= ${now}
    order by j.run_after
    limit ${limit}
    for update skip locked`;
}

/** Locks jobs that were handed over before `before` and are due but not done: Redis may have lost them. */
export function lockLostJobs(
  tx: Tx,
  { now, before, limit }: { now: Date; before: Date; limit: number },
): Promise<DueJob[]> {
  return many(tx, DueJob)`
    select j.id, j.name, j.queue from events.jobs j
    where j.dispatched_at < ${before} and j.finished_at is null and j.dead_at is null and j.run_after <= ${now}
    order by j.dispatched_at
    limit ${limit}
    for update skip locked`;
}

export async function markDispatched(tx: Tx, ids: string[], now: Date): Promise<void> {
  await run(tx)`update events.jobs set dispatched_at = ${now} where id = any (${ids}::uuid[])`;
}
