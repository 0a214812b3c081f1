import type { Clock } from '@gatehouse/kit/clock';
import { type Pool, type Tx, transaction } from '@gatehouse/kit/db';
import { within } from '@gatehouse/kit/lifecycle';
import type { Queue } from '@gatehouse/kit/queue';
import { RETRY_DELAYS_MS } from '../jobs/runner.ts';
import { type DueJob, lockDueJobs, lockLostJobs, markDispatched } from './store.ts';

export interface DispatchDeps {
  pool: Pool;
  clock: Clock;
  queues: ReadonlyMap<string, Queue>;
  /** How long a job may be in Redis and not done before it is handed over again. */
  lostAfterMs?: number;
}

const LOST_AFTER_MS = 60_000;
const REDIS_TIMEOUT_MS = 3_000;
const BATCH = 200;

/**
 * Hands due jobs to BullMQ, under their own id, so that one handed over twice is there once. Marked in the same
 * transaction: when Redis does not take them, or this process dies, they stay due. Tells how many it were.
 */
export function dispatchDue({ pool, clock, queues }: DispatchDeps): Promise<number> {
  return transaction(pool, async (tx) => handOver(tx, queues, await lockDueJobs(tx, clock(), BATCH), clock()));
}

/** The same for jobs that Redis may have lost. For one it still has, this changes nothing there. */
export function dispatchLost({ pool, clock, queues, lostAfterMs = LOST_AFTER_MS }: DispatchDeps): Promise<number> {
  return transaction(pool, async (tx) => {
    const now = clock();
    const before = new Date(now.getTime() - lostAfterMs);
    return handOver(tx, queues, await lockLostJobs(tx, { now, before, limit: BATCH }), now);
  });
}

async function handOver(tx: Tx, queues: DispatchDeps['queues'], jobs: DueJob[], now: Date): Promise<number> {
  if (jobs.length === 0) return 0;
  const byQueue = Map.groupBy(jobs, ({ queue }) => queue);
  await within(Promise.all([...byQueue].map(([name, some]) => add(queues.get(name), some))), REDIS_TIMEOUT_MS);
  await markDispatched(
    tx,
    jobs.map(({ id }) => id),
    now,
  );
  return jobs.length;
}

/** Into Redis goes the id and nothing else. */
async function add(queue: Queue | undefined, jobs: DueJob[]): Promise<void> {
  // A release that is being rolled back may owe work of a queue that this one does not know.
  if (!queue) return;
  const attempts = RETRY_DELAYS_MS.length + 1;
  await queue.addBulk(
    jobs.map(({ id, name }) => ({
      name,
      data: { id },
      opts: { jobId: id, attempts, backoff: { type: 'custom' }, stackTraceLimit: 0 },
    })),
  );
}
