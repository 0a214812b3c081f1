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

/**
 * Locks jobs that are due but not done and that nobody works on: handed over before `before`, so that Redis may have
 * lost them, or begun by a worker whose lease has ended, so that it died.
 */
export function lockLostJobs(
  tx: Tx,
  { now, before, limit }: { now: Date; before: Date; limit: number },
): Promise<DueJob[]> {
  return many(tx, DueJob)`
    select j.id, j.name, j.queue from events.jobs j
    where j.finished_at is null and j.dead_at is null and j.run_after <= ${now}
      and (j.leased_until <= ${now} or (j.dispatched_at < ${before} and j.leased_until is null))
    order by j.dispatched_at
    limit ${limit}
    for update skip locked`;
}

export async function markDispatched(tx: Tx, ids: string[], now: Date): Promise<void> {
  await run(tx)`update events.jobs set dispatched_at = ${now}, leased_until = null where id = any (${ids}::uuid[])`;
}
