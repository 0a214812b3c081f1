import type { Actor } from '@gatehouse/kit/actor';
import { type Db, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, findUserByEmail, lockUser, type User, updatePasswordHash } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import type { Client } from '../devices/devices.ts';
import { findGuest, type Guest, signInGuest } from '../guests/guests.ts';
import { isForeignHash } from '../passwords/foreign-hashes.ts';
import { completeSignIn, type SignIn } from '../sign-in/sign-in.ts';
import { type Entry, enterLogin, passLogin, tellLocked, withdrawLogin } from '../throttling/throttling.ts';
import { countFailure } from './spray.ts';

interface Credentials {
  email: string;
  password: string;
  client: Client;
}

interface Attempt extends Credentials {
  deps: Deps;
  actor: Actor;
  user: User | undefined;
  /** Who registered the address, perhaps with this password, whether or not it has an account. */
  guest: Guest | undefined;
}

type Failure =
  | 'unknown_account'
  | 'wrong_password'
  | 'account_inactive'
  | 'throttled'
  | 'locked'
  | 'password_reset_required';

/**
 * Signs in with a password. An unknown address, a wrong password, a locked account and one that may not sign in take
 * the same steps and get the same answer; every try is counted before its hash, so that no burst gets more of them.
 *
 * Guests of the address are looked for whether or not it has an account. One whose password this may be costs a second
 * hash; only who registered with it, or one wrong password in 65,536, has that. For the account such a try is one like
 * others, counted and never forgiven, so that nobody gains a guess at it by registering.
 */
export async function login(deps: Deps, actor: Actor, credentials: Credentials): Promise<SignIn> {
  assertRoom(deps);
  const user = await findUserByEmail(deps.pool, credentials.email);
  const guest = await findGuest(deps, deps.pool, credentials.email, credentials.password);
  const attempt = { ...credentials, deps, actor, user, guest };
  const entry = await enter(attempt);
  const { matches, outdated } = await verify(attempt, entry, user);
  const failure = failureOf(user, entry, matches);
  // A lock protects the account alone; heeded here it would tell of it, because only that of an account outlasts the
  // night. And the password was judged by now, so that the try is not taken back.
  const counted = { ...entry, judged: true, taken: [], network: undefined };
  if (guest && failure && (await verify(attempt, counted, guest)).matches) return visit(attempt, entry, guest);
  if (!user || failure) return fail(attempt, entry, failure ?? 'unknown_account');
  const rehashed = outdated ? await rehash(attempt) : undefined;
  const answer = await signIn(attempt, entry, user, rehashed);
  // The account changed between the two looks at it, so what was verified does not hold any more.
  if (!answer) return fail(attempt, entry, 'wrong_password');
  if (answer === 'password_reset_required') return refuseUntilReset(attempt);
  const challenged = 'challenge_token' in answer.body;
  deps.metrics.logins.inc(
    challenged
      ? { method: 'password', outcome: 'challenged', reason: 'second_factor' }
      : { method: 'password', outcome: 'success', reason: 'ok' },
  );
  return answer;
}

function failureOf(user: User | undefined, { judged }: Entry, matches: boolean): Failure | undefined {
  if (!judged) return 'locked';
  if (!user) return 'unknown_account';
  if (!matches) return 'wrong_password';
  return user.status === 'active' ? undefined : 'account_inactive';
}

function assertRoom({ hasher, metrics }: Deps): void {
  try {
    hasher.assertRoom();
  } catch (error) {
    metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'overloaded' });
    throw error;
  }
}

async function enter(attempt: Attempt): Promise<Entry> {
  try {
    return await enterLogin(attempt.deps, attempt.actor, attempt);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'rate_limited') throw error;
    attempt.deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'throttled' });
    await tellFailed(attempt.deps.pool, attempt, 'throttled');
    throw error;
  }
}

async function verify({ deps, password }: Attempt, entry: Entry, owner: User | Guest | undefined) {
  try {
    const stored = entry.judged ? owner?.password_hash : undefined;
    const [verified] = await Promise.all([deps.hasher.verify(stored, password), coverFor(deps, stored, password)]);
    return verified;
  } catch (error) {
    await withdrawLogin(deps, entry);
    deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'overloaded' });
    throw error;
  }
}

/**
 * A hash of another system takes another time than ours. Beside it runs one of nobody's, so that an account that was
 * imported and never used does not answer sooner than an unknown address.
 */
async function coverFor({ hasher }: Deps, stored: string | null | undefined, password: string): Promise<void> {
  if (stored && isForeignHash(stored)) await hasher.verify(undefined, password).catch(() => undefined);
}

/** Today's hash of a password stored in another way; a later login does it when there is no room now. */
function rehash({ deps, password }: Attempt): Promise<string | undefined> {
  return deps.hasher.hash(password).catch((error) => {
    if (error instanceof AppError) return undefined;
    throw error;
  });
}

function signIn({ deps, actor, client }: Attempt, entry: Entry, verified: User, rehashed: string | undefined) {
  return transaction(deps.pool, async (tx) => {
    const user = await lockUser(tx, verified.id);
    if (user?.status !== 'active' || user.password_hash !== verified.password_hash) return undefined;
    await passLogin(deps, tx, entry, user.id);
    if (user.password_reset_required) return 'password_reset_required';
    const owner = { ...actor, kind: 'user' as const, user_id: user.id, role: user.role };
    const target = { type: 'user', id: user.id };
    if (rehashed) {
      await updatePasswordHash(tx, user.id, rehashed, deps.clock());
      await publish(tx, owner, 'auth.password_rehashed.v1', { user_id: user.id }, { target });
    }
    return completeSignIn(deps, tx, actor, user, { amr: ['pwd'], client });
  });
}

/** Lets a guest in. What protects the account of the address stays as it is: the try counts, and may lock it. */
async function visit(attempt: Attempt, { locks }: Entry, guest: Guest): Promise<SignIn> {
  const { deps, actor, email, user, client } = attempt;
  const answer = await signInGuest(deps, actor, guest, client);
  if (!answer) return fail(attempt, { locks }, 'wrong_password');
  if (locks) await transaction(deps.pool, (tx) => tellLocked(deps, tx, actor, { email, user, until: locks.until }));
  deps.metrics.logins.inc({ method: 'password', outcome: 'success', reason: 'ok' });
  return answer;
}

/** Told only to who knows the password, which is good for nothing else any more. */
async function refuseUntilReset(attempt: Attempt): Promise<never> {
  attempt.deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'password_reset_required' });
  await tellFailed(attempt.deps.pool, attempt, 'password_reset_required');
  throw new AppError('auth.password_reset_required', 'Set a new password with the link that a mail brings you.');
}

async function fail(attempt: Attempt, { locks }: Pick<Entry, 'locks'>, reason: Failure): Promise<never> {
  const { deps, actor, email, user } = attempt;
  if (locks)
    await transaction(deps.pool, async (tx) => {
      await tellFailed(tx, attempt, reason);
      await tellLocked(deps, tx, actor, { email, user, until: locks.until });
    });
  else await tellFailed(deps.pool, attempt, reason);
  deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason });
  throw new AppError('auth.invalid_credentials', 'The e-mail address or the password is wrong.');
}

async function tellFailed(db: Db, { deps, actor, email, user }: Omit<Attempt, 'password'>, reason: Failure) {
  void countFailure(deps, email, actor.address);
  const data = { account: accountLabel(deps, email), reason, ...(user ? { user_id: user.id } : {}) };
  const target = user ? { target: { type: 'user', id: user.id } } : {};
  await publish(db, actor, 'auth.login_failed.v1', data, { ...target, outcome: 'failure' });
}
