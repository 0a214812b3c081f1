import type { Actor } from '@gatehouse/kit/actor';
import type { Db, Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import type { User } from '../accounts/accounts.ts';
import { type Budget, clear, giveBack, trySpend, usedUp } from '../budgets/budgets.ts';
import { takeCode } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import type { FactorMethod } from './methods.ts';
import { takeRecovery } from './recovery-codes.ts';
import { countRecoveryCodes, updateLastUse } from './store.ts';
import { takeTotp } from './totp.ts';

/** Wrong codes for one account, whatever they were tried at. */
const GUESSES = { limiter: 'second_factor', max: 10, windowSeconds: 900 } as const;

/** The challenge or session that a code was sent for, and that alone takes it. */
export type Asker = { challenge_id: string } | { session_id: string };

export const idOf = (at: Asker): string => ('challenge_id' in at ? at.challenge_id : at.session_id);

export interface Proof {
  method: FactorMethod;
  code: string;
  /** What the proof is for, and what asks for it. */
  purpose: 'sign_in' | 'reauthenticate';
  at: Asker;
}

interface Guess {
  userId: string;
  /** Whether being right forgets the wrong guesses; to set up a factor proves nothing of those that are there. */
  forgets: boolean;
}

export type Verdict = { right: true } | { right: false; reason: 'wrong_code' | 'throttled'; refusal: AppError };

/**
 * Runs `judge` as one guess of the account. The caller's transaction holds the user's row, so that guesses are judged
 * one after another, and tells nobody the verdict before it has committed: then the guess is counted. One that fails for
 * a reason of ours is rolled back, and costs nothing.
 */
export async function judged(
  deps: Deps,
  tx: Tx,
  { userId, forgets }: Guess,
  judge: () => Promise<boolean>,
): Promise<Verdict> {
  const budget: Budget = { ...GUESSES, subject: userId };
  const wait = await trySpend(deps, budget, tx);
  if (wait !== undefined) return { right: false, reason: 'throttled', refusal: usedUp(budget, wait) };
  if (!(await judge()))
    return { right: false, reason: 'wrong_code', refusal: new AppError('auth.code_refused', 'The code is not valid.') };
  await (forgets ? clear : giveBack)(deps, tx, budget);
  return { right: true };
}

/** Ends the stop that wrong codes brought. */
export function forgetGuesses(deps: Deps, tx: Tx, userId: string): Promise<void> {
  return clear(deps, tx, { ...GUESSES, subject: userId });
}

/** Judges the proof of an enrolled factor, and uses it up when it is right. */
export async function proveFactor(deps: Deps, tx: Tx, actor: Actor, user: User, proof: Proof): Promise<Verdict> {
  const verdict = await judged(deps, tx, { userId: user.id, forgets: true }, () => take(deps, tx, user, proof));
  if (!verdict.right) {
    await tellRefused(tx, actor, user, proof, verdict.reason);
    return verdict;
  }
  await updateLastUse(tx, user.id, proof.method, deps.clock());
  if (proof.method === 'recovery') {
    const used = { user_id: user.id, left: await countRecoveryCodes(tx, user.id) };
    await publish(tx, actor, 'auth.recovery_code_used.v1', used, { target: { type: 'user', id: user.id } });
  }
  return verdict;
}

/** Records that no further code was mailed, by a statement of its own, and throws what stopped it. */
export async function tellThrottled(
  db: Db,
  actor: Actor,
  asked: { user: Pick<User, 'id'>; at: Asker } | undefined,
  error: unknown,
): Promise<never> {
  if (asked && error instanceof AppError && error.code === 'rate_limited')
    await tellRefused(db, actor, asked.user, { method: 'email', at: asked.at }, 'throttled');
  throw error;
}

export function tellRefused(
  db: Db,
  actor: Actor,
  user: Pick<User, 'id'>,
  { method, at }: { method: FactorMethod; at: Asker },
  reason: 'wrong_code' | 'throttled',
): Promise<void> {
  return publish(
    db,
    actor,
    'auth.factor_refused.v1',
    { user_id: user.id, method, reason, ...at },
    { target: { type: 'user', id: user.id }, outcome: reason === 'throttled' ? 'denied' : 'failure' },
  );
}

export function countVerdict({ metrics }: Pick<Deps, 'metrics'>, method: FactorMethod, verdict: Verdict): void {
  const outcome = verdict.right ? 'success' : verdict.reason === 'throttled' ? 'throttled' : 'failure';
  metrics.mfaChallenges.inc({ method, outcome });
}

function take(deps: Deps, tx: Tx, user: User, { method, code, purpose, at }: Proof): Promise<boolean> {
  const digits = code.replace(/\s/g, '');
  if (method === 'totp') return takeTotp(deps, tx, user.id, digits);
  if (method === 'recovery') return takeRecovery(tx, user.id, code);
  return takeCode(deps, tx, user, { purpose, bound_to: idOf(at) }, digits);
}
