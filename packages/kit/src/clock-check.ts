import { z } from 'zod';
import type { Clock } from './clock.ts';
import { type Db, one } from './db.ts';

/** How far a process's clock may be from the database's. Tokens, codes and locks of one node count on every other. */
export const CLOCK_SKEW_MAX_MS = 5_000;

const DatabaseTime = z.object({ now: z.date() });

/** What times of another process may be off: it and this one, each as far as readiness lets it be. */
export const CLOCK_LEEWAY_SECONDS = (2 * CLOCK_SKEW_MAX_MS) / 1_000;

/** How far this machine's clock is ahead of the database's; negative when it is behind. */
export async function clockSkewMs(db: Db, clock: Clock): Promise<number> {
  const before = clock().getTime();
  const { now } = await one(db, DatabaseTime)`select clock_timestamp() as now`;
  // Halfway between asking and being answered.
  return (before + clock().getTime()) / 2 - now.getTime();
}

/** A readiness check: rejects while this machine's clock and the database's are more than 5 s apart. */
export async function checkClock(db: Db, clock: Clock): Promise<void> {
  const skewMs = await clockSkewMs(db, clock);
  if (Math.abs(skewMs) > CLOCK_SKEW_MAX_MS)
    throw new Error(`the clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'ahead' : 'behind'}`);
}
