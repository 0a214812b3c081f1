import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { Actor } from '@gatehouse/kit/actor';
import { randomToken, sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import { lockUser, type User } from '../accounts/accounts.ts';
import { accountStates, isUnchanged } from '../codes/account-state.ts';
import { deleteCodesBoundTo, sendCode } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import { beginEmail, beginTotp, firstMethods } from '../factors/enrolment.ts';
import { listFactors } from '../factors/factors.ts';
import { EnrollableMethod, type Factor, FactorMethod } from '../factors/methods.ts';
import { tellThrottled } from '../factors/proof.ts';
import {
  type Challenge,
  deleteChallenge,
  deleteChallengesOf,
  findChallenge,
  insertChallenge,
  lockChallenge,
} from './store.ts';

const LIFE_SECONDS = 300;

/** The answer of a sign-in that waits for a second factor. */
export const SecondFactorNeeded = z.object({
  second_factor_required: z.literal(true),
  /** Good at `/api/auth/challenge/*` and nowhere else. */
  challenge_token: z.string(),
  /** Seconds. */
  expires_in: z.int(),
  /** What the user can prove. */
  methods: z.array(FactorMethod),
  /** What the user has to set up, where a second factor is asked for and there is none. */
  enrol: z.array(EnrollableMethod),
});
export type SecondFactorNeeded = z.infer<typeof SecondFactorNeeded>;

interface Opening {
  kind: Challenge['kind'];
  amr: AuthenticationMethod[];
  factors: readonly Factor[];
}

/** Makes a sign-in wait for a second factor, in the transaction of what was proved so far. */
export async function openChallenge(deps: Deps, tx: Tx, owner: Actor, { id }: User, { kind, amr, factors }: Opening) {
  // As it is now: the password may have been hashed anew in this transaction.
  const user = await lockUser(tx, id);
  const account_state = user && accountStates(deps, user)[0];
  if (!user || !account_state) throw new Error('the account of a challenge is gone');
  const token = randomToken();
  const now = deps.clock();
  const challenge = { id: newId(), user_id: id, kind, amr, account_state };
  const expires_at = new Date(now.getTime() + LIFE_SECONDS * 1000);
  await insertChallenge(tx, { ...challenge, token_hash: sha256(token), now, expires_at });
  const opened = { user_id: id, challenge_id: challenge.id, asks: kind };
  await publish(tx, owner, 'auth.challenge_opened.v1', opened, { target: { type: 'user', id } });
  const body: SecondFactorNeeded = {
    second_factor_required: true,
    challenge_token: token,
    expires_in: LIFE_SECONDS,
    methods: kind === 'verify' ? provable(user, factors) : [],
    enrol: kind === 'enrol' ? firstMethods(user) : [],
  };
  return body;
}

/** Makes every challenge of a user worthless. */
export function cancelChallengesOf(tx: Tx, userId: string): Promise<void> {
  return deleteChallengesOf(tx, userId);
}

/** A challenge that holds, with its account and what that has set up; both rows are locked. */
export interface Held {
  challenge: Challenge;
  user: User;
  factors: Factor[];
  /** The user, as whom the request acts from now on. */
  owner: Actor;
}

type Refused = { refused: 'unknown' | 'expired' | 'account_changed'; challenge_id?: string; user_id?: string };

/**
 * Runs `fn` with the challenge of a token, one at a time. What `fn` returns is committed. Throws
 * `auth.challenge_refused` for one that is unknown, used, too old, or whose account is not what it was.
 */
export async function withChallenge<T>(
  deps: Deps,
  actor: Actor,
  token: string,
  fn: (tx: Tx, held: Held) => Promise<T>,
): Promise<T> {
  // Whoever has no challenge waits for no lock.
  const seen = await findChallenge(deps.pool, sha256(token));
  const outcome = seen
    ? await transaction(deps.pool, async (tx) => {
        const held = await hold(deps, tx, actor, seen);
        return 'refused' in held ? held : { done: await fn(tx, held) };
      })
    : { refused: 'unknown' as const };
  if ('done' in outcome) return outcome.done;
  const { refused: reason, ...about } = outcome;
  await publish(
    deps.pool,
    actor,
    'auth.challenge_refused.v1',
    { reason, ...about },
    { outcome: 'denied', ...(about.user_id ? { target: { type: 'user', id: about.user_id } } : {}) },
  );
  throw new AppError('auth.challenge_refused', 'The sign-in has to begin anew.');
}

async function hold(deps: Deps, tx: Tx, actor: Actor, { id, user_id }: Challenge): Promise<Held | Refused> {
  // The user first, as everywhere: what changes the account waits, or has been.
  const user = await lockUser(tx, user_id);
  const challenge = await lockChallenge(tx, id);
  const about = { challenge_id: id, user_id };
  if (!challenge) return { refused: 'unknown', ...about };
  if (challenge.expires_at <= deps.clock()) return { refused: 'expired', ...about };
  const factors = await listFactors(tx, user_id);
  const unchanged = user?.status === 'active' && isUnchanged(deps, user, challenge.account_state);
  // Who was to set up a first factor does not get around one that was set up meanwhile.
  if (!unchanged || (challenge.kind === 'enrol' && factors.length > 0)) {
    await endChallenge(tx, challenge);
    return { refused: 'account_changed', ...about };
  }
  return { challenge, user, factors, owner: { ...actor, kind: 'user', user_id, role: user.role } };
}

export async function endChallenge(tx: Tx, { id }: Challenge): Promise<void> {
  await deleteChallenge(tx, id);
  await deleteCodesBoundTo(tx, id);
}

/**
 * What a user can prove. Codes are mailed to a confirmed address only, and to a platform admin only as long as there is
 * no app: a mailbox, which also sets passwords, must not be worth both factors of one.
 */
export function provable({ email_verified_at, role }: User, factors: readonly Factor[]): FactorMethod[] {
  const methods = factors.map(({ method }) => method);
  const mails = email_verified_at !== null && !(role === 'admin' && methods.includes('totp'));
  return methods.filter((method) => method !== 'email' || mails);
}

/** Mails a code for a challenge; the former one is worthless from then on. */
export function sendChallengeCode(deps: Deps, actor: Actor, token: string): Promise<{ expires_in: number }> {
  let asked: Asked | undefined;
  return withChallenge(deps, actor, token, async (tx, { challenge, user, factors, owner }) => {
    asked = { user, at: { challenge_id: challenge.id } };
    if (challenge.kind !== 'verify' || !provable(user, factors).includes('email'))
      throw new AppError('auth.factor_not_found', 'Codes by e-mail are not set up.');
    await sendCode(deps, tx, owner, user, { purpose: 'sign_in', bound_to: challenge.id });
    return { expires_in: secondsLeft(deps, challenge) };
  }).catch((error) => tellThrottled(deps.pool, actor, asked, error));
}

interface Asked {
  user: User;
  at: { challenge_id: string };
}

/** Begins to set up the factor without which the sign-in does not end. */
export function enrolInChallenge(deps: Deps, actor: Actor, token: string, method: EnrollableMethod) {
  let asked: Asked | undefined;
  return withChallenge(deps, actor, token, async (tx, { challenge, user, owner }) => {
    if (challenge.kind !== 'enrol' || !firstMethods(user).includes(method))
      throw new AppError('auth.factor_not_found', 'This second factor cannot be set up here.');
    const at = { challenge_id: challenge.id };
    asked = { user, at };
    const expires_in = secondsLeft(deps, challenge);
    if (method === 'totp') return { method, expires_in, ...(await beginTotp(deps, tx, user, at)) };
    await beginEmail(deps, tx, owner, user, at);
    return { method, expires_in };
  }).catch((error) => tellThrottled(deps.pool, actor, asked, error));
}

const secondsLeft = ({ clock }: Pick<Deps, 'clock'>, { expires_at }: Challenge) =>
  // Another instance's clock may be behind the one that opened it.
  Math.min(LIFE_SECONDS, Math.max(1, Math.ceil((expires_at.getTime() - clock().getTime()) / 1000)));
