import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import type { User } from '../accounts/accounts.ts';
import { sendCode, takeCode } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import type { EnrollableMethod, Factor } from './methods.ts';
import { mailChange } from './notices.ts';
import { type Asker, idOf, judged, tellRefused, type Verdict } from './proof.ts';
import { replaceRecoveryCodes } from './recovery-codes.ts';
import { confirmSeed, deleteFactor, findPendingSeed, insertConfirmed, replacePending } from './store.ts';
import { judgeTotp, newSeed, sealSeed } from './totp.ts';

export const ENROLMENT_LIFE_SECONDS = 900;

/**
 * Makes the seed of an authenticator app, which counts for nothing until a code of it is given by who asked. A further
 * call makes another in its place.
 */
export async function beginTotp(deps: Deps, tx: Tx, user: User, at: Asker) {
  const id = newId();
  const now = deps.clock();
  const seed = await newSeed(deps, user.email);
  await replacePending(tx, {
    id,
    user_id: user.id,
    method: 'totp',
    secret_sealed: sealSeed(deps, seed.secret, id, user.id),
    bound_to: idOf(at),
    now,
    expires_at: new Date(now.getTime() + ENROLMENT_LIFE_SECONDS * 1000),
  });
  return seed;
}

/** Sends the code that shows that the user reads the address's mail now. */
export async function beginEmail(deps: Deps, tx: Tx, actor: Actor, user: User, at: Asker): Promise<void> {
  assertMayHaveEmail(user);
  await sendCode(deps, tx, actor, user, { purpose: 'enrol', bound_to: idOf(at) });
}

interface Confirmation {
  method: EnrollableMethod;
  code: string;
  at: Asker;
}

export type Confirmed = { verdict: Verdict; recovery_codes: string[] };

/** Judges the first code of a factor; when it is right the factor counts, and ten new recovery codes come with it. */
export async function confirmFactor(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  user: User,
  { method, code, at }: Confirmation,
): Promise<Confirmed> {
  const digits = code.replace(/\s/g, '');
  const verdict = await judged(deps, tx, { userId: user.id, forgets: false }, () =>
    method === 'totp' ? takeFirstTotp(deps, tx, user, at, digits) : takeFirstEmail(deps, tx, user, at, digits),
  );
  if (!verdict.right) {
    await tellRefused(tx, actor, user, { method, at }, verdict.reason);
    return { verdict, recovery_codes: [] };
  }
  const recovery_codes = await replaceRecoveryCodes(tx, user.id, deps.clock());
  const target = { type: 'user', id: user.id };
  await publish(tx, actor, 'auth.factor_added.v1', { user_id: user.id, method }, { target });
  await mailChange(deps, tx, actor, user, method === 'totp' ? 'totp_added' : 'email_added');
  return { verdict, recovery_codes };
}

/** A code proves the mailbox to who may read it only; an unconfirmed address may be anybody's. */
export function assertMayHaveEmail({ email_verified_at }: Pick<User, 'email_verified_at'>): void {
  if (email_verified_at === null) throw new AppError('auth.address_unverified', 'Confirm your e-mail address first.');
}

/** What a user without a second factor may set up as the first one. Codes by mail are not enough for a platform admin. */
export function firstMethods({
  role,
  email_verified_at,
}: Pick<User, 'role' | 'email_verified_at'>): EnrollableMethod[] {
  return role !== 'admin' && email_verified_at !== null ? ['totp', 'email'] : ['totp'];
}

/** Whether a set of factors is enough for the user's role. */
export function suffices({ role }: Pick<User, 'role'>, factors: readonly Pick<Factor, 'method'>[]): boolean {
  return factors.some(({ method }) => method === 'totp' || (method === 'email' && role !== 'admin'));
}

async function takeFirstTotp(deps: Deps, tx: Tx, user: User, at: Asker, code: string): Promise<boolean> {
  const now = deps.clock();
  const seed = await findPendingSeed(tx, { user_id: user.id, method: 'totp', bound_to: idOf(at) }, now);
  const step = seed && (await judgeTotp(deps, seed, user.id, code));
  if (!seed || step === undefined) return false;
  // A new app takes the place of the one before.
  await deleteFactor(tx, user.id, 'totp');
  await confirmSeed(tx, seed.id, step, now);
  return true;
}

async function takeFirstEmail(deps: Deps, tx: Tx, user: User, at: Asker, code: string): Promise<boolean> {
  if (!(await takeCode(deps, tx, user, { purpose: 'enrol', bound_to: idOf(at) }, code))) return false;
  await deleteFactor(tx, user.id, 'email');
  await insertConfirmed(tx, { id: newId(), user_id: user.id, method: 'email', now: deps.clock() });
  return true;
}
