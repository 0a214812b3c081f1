import type { Clock } from '@gatehouse/kit/clock';
import { checkClock } from '@gatehouse/kit/clock-check';
import type { Pool } from '@gatehouse/kit/db';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { cleanUpApp, cleanUpAuth, cleanUpOrg, deleteDeadJobs, deleteFinishedJobs } from './store.ts';

export interface NightlyDeps {
  pool: Pool;
  clock: Clock;
  log: Logger;
}

const DAY_MS = 86_400_000;
/** Days that a finished job is kept, and a dead one. Both hold addresses. */
const FINISHED_DAYS = 7;
const DEAD_DAYS = 90;

/**
 * Cleans up what is out of date. A part that fails does not keep the others from running; it throws at the end. Twice in a
 * night does no harm, and what one night leaves out the next one does: it goes by the age of things alone.
 */
export async function cleanUp({ pool, clock, log }: NightlyDeps): Promise<void> {
  // What is out of date is judged by this machine's clock: one that is ahead would delete what is not.
  await checkClock(pool, clock);
  const now = clock();
  const daysAgo = (days: number) => new Date(now.getTime() - days * DAY_MS);
  const parts: Record<string, () => Promise<number>> = {
    app: () => inBatches(() => cleanUpApp(pool, now)),
    auth: () => inBatches(() => cleanUpAuth(pool, now)),
    org: () => inBatches(() => cleanUpOrg(pool, now)),
    'finished jobs': () => inBatches((limit) => deleteFinishedJobs(pool, daysAgo(FINISHED_DAYS), limit)),
    'dead jobs': () => inBatches((limit) => deleteDeadJobs(pool, daysAgo(DEAD_DAYS), limit)),
  };
  const failures: unknown[] = [];
  for (const [name, part] of Object.entries(parts)) {
    try {
      log.info('cleaned up', { name, count: await part() });
    } catch (error) {
      log.error('a clean-up failed', { name, ...errorFields(error) });
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'the nightly clean-up failed in part');
}

const BATCH = 5_000;
const BATCHES_MAX = 1_000;

/** A batch at a time, so that no statement runs long, until nothing is left; the doors have sizes of their own. */
async function inBatches(remove: (limit: number) => Promise<number>): Promise<number> {
  let removed = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const count = await remove(BATCH);
    removed += count;
    if (count === 0) break;
  }
  return removed;
}
