import { hmac } from '@gatehouse/kit/crypto';
import type { Db } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import type { LIMITERS } from '../metrics.ts';
import { deleteBudget, findReset, giveBackGuess, takeGuess } from './store.ts';

type Limiter = (typeof LIMITERS)[number];
type BudgetDeps = Pick<Deps, 'pool' | 'clock' | 'metrics' | 'secrets'>;

/** So many tries in so many seconds, by what `subject` names (an address, a network). */
export interface Budget {
  limiter: Limiter;
  subject: string;
  max: number;
  windowSeconds: number;
  /** Called when the last try is taken. */
  onLast?: () => void;
}

/** Counts a try in Postgres before it is made; throws `rate_limited` when the budget is used up. */
export async function spend(deps: BudgetDeps, budget: Budget): Promise<void> {
  const retryAfterSeconds = await trySpend(deps, budget);
  if (retryAfterSeconds !== undefined) throw usedUp(budget, retryAfterSeconds);
}

/** The refusal of a try beyond the budget. */
export function usedUp(
  { max, windowSeconds }: Pick<Budget, 'max' | 'windowSeconds'>,
  retryAfterSeconds: number,
): AppError {
  return new AppError('rate_limited', 'Too many attempts. Try again later.', {
    headers: {
      'retry-after': String(retryAfterSeconds),
      'ratelimit-policy': `"attempts";q=${max};w=${windowSeconds}`,
      ratelimit: `"attempts";r=0;t=${retryAfterSeconds}`,
      'x-ratelimit-limit': String(max),
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(retryAfterSeconds),
    },
  });
}

/**
 * As `spend`, but tells the seconds to wait instead of throwing; undefined when the try may be made. In a transaction
 * the try counts once that commits.
 */
export async function trySpend(deps: BudgetDeps, budget: Budget, db: Db = deps.pool): Promise<number | undefined> {
  const now = deps.clock();
  const bucket = bucketOf(deps, budget);
  const resetsAt = new Date(now.getTime() + budget.windowSeconds * 1000);
  const used = await takeGuess(db, { bucket, max: budget.max, now, resetsAt });
  if (used !== undefined) {
    if (used === budget.max) budget.onLast?.();
    return undefined;
  }
  deps.metrics.rateLimited.inc({ limiter: budget.limiter });
  const reset = (await findReset(db, bucket)) ?? now;
  // By a clock that went back a window seems to be longer than it is.
  return Math.min(budget.windowSeconds, Math.max(1, Math.ceil((reset.getTime() - now.getTime()) / 1000)));
}

/** Forgets the tries of a budget: what was tried has succeeded. */
export function clear(deps: BudgetDeps, db: Db, budget: Budget): Promise<void> {
  return deleteBudget(db, bucketOf(deps, budget));
}

/** Returns one try: it was not judged, or did no harm. The rest of the bucket stays counted. */
export function giveBack(deps: BudgetDeps, db: Db, budget: Budget): Promise<void> {
  return giveBackGuess(db, bucketOf(deps, budget));
}

function bucketOf({ secrets }: BudgetDeps, { limiter, subject }: Budget): Buffer {
  return hmac(secrets.budgets, `${limiter}\n${subject}`);
}
