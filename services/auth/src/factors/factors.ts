import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { SECOND_FACTOR_PROOF } from '@gatehouse/kit/proof';
import { lockOwnAccount, type User } from '../accounts/accounts.ts';
import { CODE_LIFE_SECONDS } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import { dropTrustOf } from '../devices/devices.ts';
import { accessTokenOf } from '../sessions/sessions.ts';
import { mustHaveSecondFactor } from '../sign-in/policy.ts';
import { amrOf } from './amr.ts';
import {
  assertMayHaveEmail,
  beginEmail,
  beginTotp,
  confirmFactor,
  ENROLMENT_LIFE_SECONDS,
  suffices,
} from './enrolment.ts';
import type { EnrollableMethod, Factor } from './methods.ts';
import { mailChange } from './notices.ts';
import { markOwnSession } from './own-session.ts';
import { countVerdict, tellThrottled } from './proof.ts';
import { dropRecoveryCodes, replaceRecoveryCodes } from './recovery-codes.ts';
import { deleteFactor, deleteFactorsOf, listFactors } from './store.ts';

export { listFactors } from './store.ts';

/** What the owner may see of the own factors. */
export async function describeFactors({ pool }: Pick<Deps, 'pool'>, { user_id }: UserActor) {
  const factors = await listFactors(pool, user_id);
  const about = (method: Factor['method']) => {
    const factor = factors.find((one) => one.method === method);
    return factor ? { added_at: factor.added_at, last_used_at: factor.last_used_at } : null;
  };
  const recovery = about('recovery');
  const left = factors.find(({ method }) => method === 'recovery')?.left ?? 0;
  return { totp: about('totp'), email: about('email'), recovery_codes: { left, ...(recovery ?? EMPTY) } };
}

const EMPTY = { added_at: null, last_used_at: null };

/** Begins to set up an authenticator app. What its code needs is told once and kept sealed. */
export async function setUpTotp(deps: Deps, actor: UserActor, { replace }: { replace: boolean }) {
  let seed: Awaited<ReturnType<typeof beginTotp>> | undefined;
  const answer = await transaction(deps.pool, async (tx) => {
    const { user, factors } = await lockAccount(tx, actor);
    assertMayAdd(actor, factors);
    if (has(factors, 'totp') && !replace)
      throw new AppError('auth.factor_exists', 'An authenticator app is set up; replace it with ?replace=true.');
    seed = await beginTotp(deps, tx, user, { session_id: actor.session_id });
    return { expires_in: ENROLMENT_LIFE_SECONDS };
  });
  // Beside what the transaction returned, which an idempotency key would keep.
  return { ...answer, ...seed };
}

export function setUpEmail(deps: Deps, actor: UserActor) {
  return transaction(deps.pool, async (tx) => {
    const { user, factors } = await lockAccount(tx, actor);
    assertMayAdd(actor, factors);
    assertMayHaveEmail(user);
    if (has(factors, 'email')) throw new AppError('auth.factor_exists', 'Codes by e-mail are set up already.');
    if (user.role === 'admin' && !has(factors, 'totp'))
      throw new AppError('auth.factor_required', 'A platform admin sets up an authenticator app first.');
    await beginEmail(deps, tx, actor, user, { session_id: actor.session_id });
    return { expires_in: CODE_LIFE_SECONDS };
  }).catch((error) =>
    tellThrottled(deps.pool, actor, { user: { id: actor.user_id }, at: { session_id: actor.session_id } }, error),
  );
}

/** Ends an enrolment with the factor's first code; the session counts as opened with it from now on. */
export async function confirm(deps: Deps, actor: UserActor, method: EnrollableMethod, code: string) {
  const done = await transaction(deps.pool, async (tx) => {
    const { user, factors } = await lockAccount(tx, actor);
    assertMayAdd(actor, factors);
    const at = { session_id: actor.session_id };
    const { verdict, recovery_codes } = await confirmFactor(deps, tx, actor, user, { method, code, at });
    if (!verdict.right) return { verdict };
    // A new app in the place of one that may be in other hands: devices that the old one made trusted ask again.
    if (has(factors, method)) await dropTrustOf(tx, user.id);
    const now = await listFactors(tx, user.id);
    const amr = amrOf(user, actor.amr, method, now);
    const session = await markOwnSession(deps, tx, actor, amr, { anew: false });
    return { verdict, recovery_codes, session };
  });
  countVerdict(deps, method, done.verdict);
  if (!done.verdict.right || !done.session) throw refusalOf(done.verdict);
  deps.metrics.mfaEnrolments.inc({ method, change: 'added' });
  return { recovery_codes: done.recovery_codes, ...accessTokenOf(deps, done.session) };
}

const refusalOf = (verdict: { right: boolean; refusal?: AppError }) =>
  verdict.refusal ?? new AppError('auth.code_refused');

/** Gives a factor up, as long as what is left is enough for whoever asks for one. */
export async function remove(deps: Deps, actor: UserActor, method: EnrollableMethod): Promise<void> {
  await transaction(deps.pool, async (tx) => {
    const { user, factors } = await lockAccount(tx, actor);
    if (!has(factors, method)) throw new AppError('auth.factor_not_found', 'You have no such second factor.');
    const left = factors
      .filter((one) => one.method === 'totp' || one.method === 'email')
      .filter((one) => one.method !== method);
    await assertMayRemove(deps, tx, user, left);
    await deleteFactor(tx, user.id, method);
    if (left.length === 0) await dropRecoveryCodes(tx, user.id);
    await dropTrustOf(tx, user.id);
    await publish(tx, actor, 'auth.factor_removed.v1', { user_id: user.id, method }, { target: targetOf(user) });
    await mailChange(deps, tx, actor, user, method === 'totp' ? 'totp_removed' : 'email_removed');
  });
  deps.metrics.mfaEnrolments.inc({ method, change: 'removed' });
}

/** Ten new recovery codes; the former ones are worthless. */
export function renewRecoveryCodes(deps: Deps, actor: UserActor): Promise<{ recovery_codes: string[] }> {
  return transaction(deps.pool, async (tx) => {
    const { user, factors } = await lockAccount(tx, actor);
    if (!has(factors, 'totp') && !has(factors, 'email'))
      throw new AppError('auth.factor_not_found', 'Set up a second factor first; recovery codes come with it.');
    const recovery_codes = await replaceRecoveryCodes(tx, user.id, deps.clock());
    await publish(tx, actor, 'auth.recovery_codes_replaced.v1', { user_id: user.id }, { target: targetOf(user) });
    await mailChange(deps, tx, actor, user, 'recovery_codes_replaced');
    return { recovery_codes };
  });
}

/** Deletes every factor of a user, enrolments under way included: whoever set them up was not the owner. */
export function cancelFactorsOf(tx: Tx, userId: string): Promise<void> {
  return deleteFactorsOf(tx, userId);
}

/** The caller's account with its factors, locked: nothing about them changes until the transaction ends. */
async function lockAccount(tx: Tx, actor: UserActor): Promise<{ user: User; factors: Factor[] }> {
  const user = await lockOwnAccount(tx, actor);
  return { user, factors: await listFactors(tx, user.id) };
}

// A further factor opens the account like those that are there, so it takes one of them to add it.
function assertMayAdd({ amr = [] }: Actor, factors: readonly Factor[]): void {
  const { extensions, challenge } = SECOND_FACTOR_PROOF;
  if (factors.length > 0 && !amr.some((one) => one !== 'pwd'))
    throw new AppError('auth.second_factor_required', 'Prove the second factor that you have first.', {
      extensions,
      headers: { 'www-authenticate': challenge },
    });
}

async function assertMayRemove({ config }: Deps, tx: Tx, user: User, left: readonly Factor[]): Promise<void> {
  if (suffices(user, left)) return;
  if (left.length > 0)
    throw new AppError(
      'auth.factor_required',
      'Codes by e-mail are not enough for a platform admin: give them up first.',
    );
  if (await mustHaveSecondFactor(config, tx, user))
    throw new AppError(
      'auth.factor_required',
      'A second factor is asked of you. Set up another one first, or replace it.',
    );
}

const has = (factors: readonly Factor[], method: Factor['method']) => factors.some((one) => one.method === method);
const targetOf = ({ id }: User) => ({ type: 'user', id });
