import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Db, type Tx, transaction } from '@gatehouse/kit/db';
import { AppError, type ErrorDetail } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { findUser, lockOwnAccount, type User } from '../accounts/accounts.ts';
import { provable } from '../challenges/challenges.ts';
import { CODE_LIFE_SECONDS, sendCode } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import type { Client } from '../devices/devices.ts';
import { amrOf } from '../factors/amr.ts';
import { listFactors } from '../factors/factors.ts';
import type { Factor, FactorMethod } from '../factors/methods.ts';
import { markOwnSession } from '../factors/own-session.ts';
import { countVerdict, proveFactor, tellThrottled } from '../factors/proof.ts';
import { accessTokenOf } from '../sessions/sessions.ts';
import { type Entry, enterLogin, passLogin, tellLocked, withdrawLogin } from '../throttling/throttling.ts';

export interface Proofs {
  password?: string | undefined;
  method?: FactorMethod | undefined;
  code?: string | undefined;
  client: Client;
}

/** What it takes to prove who one is: the password where there is one, and one of these methods where there are any. */
interface Needs {
  password: boolean;
  methods: FactorMethod[];
}

/** What this user has to prove. */
export async function describeNeeds({ pool }: Pick<Deps, 'pool'>, actor: UserActor): Promise<Needs> {
  return needsOf(await activeUser(pool, actor), await listFactors(pool, actor.user_id));
}

/** Mails the code that stands for the second factor, or, in an account without a password, for the owner. */
export function sendReauthenticationCode(deps: Deps, actor: UserActor): Promise<{ expires_in: number }> {
  return transaction(deps.pool, async (tx) => {
    const user = await lockOwnAccount(tx, actor);
    if (!needsOf(user, await listFactors(tx, user.id)).methods.includes('email'))
      throw new AppError('auth.factor_not_found', 'Codes by e-mail are not set up.');
    await sendCode(deps, tx, actor, user, { purpose: 'reauthenticate', bound_to: actor.session_id });
    return { expires_in: CODE_LIFE_SECONDS };
  }).catch((error) => tellThrottled(deps.pool, actor, askedBy(actor), error));
}

const askedBy = ({ user_id, session_id }: UserActor) => ({ user: { id: user_id }, at: { session_id } });

/** Proves anew who the user of a session is, by everything that a sign-in would ask for on a device that nobody trusts. */
export async function reauthenticate(deps: Deps, actor: UserActor, proofs: Proofs) {
  const user = await activeUser(deps.pool, actor);
  const needs = needsOf(user, await listFactors(deps.pool, user.id));
  assertComplete(needs, proofs);
  const entry = needs.password ? await provePassword(deps, actor, user, proofs) : undefined;
  const outcome = await transaction(deps.pool, (tx) => prove(deps, tx, actor, { user, needs, proofs, entry }));
  if (outcome.verdict && proofs.method) countVerdict(deps, proofs.method, outcome.verdict);
  deps.metrics.reauthentications.inc({ outcome: outcome.session ? 'success' : 'failure' });
  if (outcome.session) return accessTokenOf(deps, outcome.session);
  if (outcome.verdict?.right === false) throw outcome.verdict.refusal;
  throw new AppError('conflict', 'The account changed meanwhile. Try again.');
}

interface Attempt {
  /** The account as it was when the password was verified. */
  user: User;
  needs: Needs;
  proofs: Proofs;
  entry: Entry | undefined;
}

async function prove(deps: Deps, tx: Tx, actor: UserActor, { user: seen, needs, proofs, entry }: Attempt) {
  const user = await lockOwnAccount(tx, actor);
  const factors = await listFactors(tx, user.id);
  // What was asked for must still be what is asked for, and the password that was verified still the account's.
  if (user.password_hash !== seen.password_hash || !same(needsOf(user, factors).methods, needs.methods)) return {};
  if (entry) await passLogin(deps, tx, entry, user.id);
  const { method, code } = proofs;
  let amr: AuthenticationMethod[] = needs.password ? ['pwd'] : [];
  if (method && code !== undefined) {
    const at = { session_id: actor.session_id };
    const verdict = await proveFactor(deps, tx, actor, user, { method, code, purpose: 'reauthenticate', at });
    if (!verdict.right) return { verdict };
    amr = amrOf(user, amr, method, factors);
    return { verdict, session: await succeed(deps, tx, actor, amr) };
  }
  return { session: await succeed(deps, tx, actor, amr) };
}

async function succeed(deps: Deps, tx: Tx, actor: UserActor, amr: AuthenticationMethod[]) {
  const { user_id, session_id } = actor;
  const session = await markOwnSession(deps, tx, actor, amr, { anew: true });
  const target = { type: 'session', id: session_id };
  await publish(tx, actor, 'auth.reauthenticated.v1', { user_id, session_id, amr }, { target });
  return session;
}

/** Judges the password as one try at a sign-in, wherever it is tried. */
async function provePassword(
  deps: Deps,
  actor: UserActor,
  user: User,
  { password = '', client }: Proofs,
): Promise<Entry> {
  deps.hasher.assertRoom();
  const entry = await enterLogin(deps, actor, { email: user.email, client, user }).catch(async (error) => {
    if (error instanceof AppError && error.code === 'rate_limited')
      await tellFailed(deps, deps.pool, actor, 'throttled');
    throw error;
  });
  const { matches } = await deps.hasher
    .verify(entry.judged ? (user.password_hash ?? undefined) : undefined, password)
    .catch(async (error) => {
      await withdrawLogin(deps, entry);
      throw error;
    });
  if (matches && entry.judged) return entry;
  const { locks } = entry;
  await transaction(deps.pool, async (tx) => {
    await tellFailed(deps, tx, actor, 'wrong_password');
    if (locks) await tellLocked(deps, tx, actor, { email: user.email, user, until: locks.until });
  });
  throw new AppError('auth.invalid_credentials', 'The password is wrong.');
}

function tellFailed(
  { metrics }: Deps,
  db: Db,
  actor: UserActor,
  reason: 'wrong_password' | 'throttled',
): Promise<void> {
  metrics.reauthentications.inc({ outcome: 'failure' });
  const { user_id, session_id } = actor;
  const target = { type: 'session', id: session_id };
  return publish(
    db,
    actor,
    'auth.reauthentication_failed.v1',
    { user_id, session_id, reason },
    { target, outcome: 'failure' },
  );
}

async function activeUser(db: Db, { user_id }: UserActor): Promise<User> {
  const user = await findUser(db, user_id);
  if (user?.status !== 'active') throw new AppError('auth.session_ended');
  return user;
}

function needsOf(user: User, factors: readonly Factor[]): Needs {
  const password = user.password_hash !== null;
  const methods = provable(user, factors);
  // Who has neither a password nor a factor has the mailbox.
  const mailbox = !password && methods.length === 0 && user.email_verified_at !== null;
  return { password, methods: mailbox ? ['email'] : methods };
}

function assertComplete(needs: Needs, { password, method, code }: Proofs): void {
  const details: ErrorDetail[] = [];
  const check = (wrong: boolean, pointer: string, message: string) => wrong && details.push({ pointer, message });
  check(needs.password !== (password !== undefined), '/password', needs.password ? 'is needed' : 'is not known here');
  const asked = needs.methods.length > 0;
  if (!asked) check(method !== undefined || code !== undefined, '/method', 'no second factor is set up');
  else if (!method || !needs.methods.includes(method))
    check(true, '/method', `must be one of ${needs.methods.join(', ')}`);
  check(asked && code === undefined, '/code', 'is needed');
  if (details.length > 0) throw new AppError('request.invalid', 'Give every proof that is asked for.', { details });
  if (!needs.password && !asked)
    throw new AppError('auth.factor_required', 'The account has nothing that would prove whose it is.');
}

const same = (a: readonly string[], b: readonly string[]) => [...a].sort().join() === [...b].sort().join();
