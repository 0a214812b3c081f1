import type { Actor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, findUserByEmail, lockUser, type User, updatePasswordHash } from '../accounts/accounts.ts';
import { networkOf } from '../addresses.ts';
import { type Budget, clear, giveBack, spend } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';
import type { Client } from '../devices/devices.ts';
import { completeSignIn, type SignIn } from '../sign-in/sign-in.ts';
import { countFailure } from './spray.ts';

interface Credentials {
  email: string;
  password: string;
  client: Client;
}

interface Attempt extends Credentials {
  deps: Deps;
  actor: Actor;
  budgets: { account: Budget; network: Budget };
}

type Failure = 'unknown_account' | 'wrong_password' | 'account_inactive' | 'throttled';

/**
 * Signs in with a password. An unknown address, a wrong password and an account that may not sign in take the same
 * steps and get the same answer; every try is counted before its hash, so that no burst gets more of them.
 */
export async function login(deps: Deps, actor: Actor, credentials: Credentials): Promise<SignIn> {
  const attempt = { ...credentials, deps, actor, budgets: budgetsOf(deps, actor, credentials.email) };
  assertRoom(deps);
  await spendBudgets(attempt);
  const user = await findUserByEmail(deps.pool, credentials.email);
  const { matches, outdated } = await verify(attempt, user);
  if (!user) return fail(attempt, 'unknown_account');
  if (!matches) return fail(attempt, 'wrong_password', user.id);
  if (user.status !== 'active') return fail(attempt, 'account_inactive', user.id);
  const rehashed = outdated ? await rehash(attempt) : undefined;
  const answer = await signIn(attempt, user, rehashed);
  // The account changed between the two looks at it, so what was verified does not hold any more.
  if (!answer) return fail(attempt, 'wrong_password', user.id);
  deps.metrics.logins.inc({ method: 'password', outcome: 'success', reason: 'ok' });
  return answer;
}

function budgetsOf({ config }: Deps, actor: Actor, email: string): Attempt['budgets'] {
  const windowSeconds = config.LOGIN_BUDGET_WINDOW_SECONDS;
  return {
    account: { limiter: 'login_account', subject: email, max: config.LOGIN_BUDGET, windowSeconds },
    network: {
      limiter: 'login_network',
      subject: networkOf(actor.address),
      max: config.LOGIN_NETWORK_BUDGET,
      windowSeconds,
    },
  };
}

function assertRoom({ hasher, metrics }: Deps): void {
  try {
    hasher.assertRoom();
  } catch (error) {
    metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'overloaded' });
    throw error;
  }
}

// The network first: who has used that up cannot go on using up the budgets of accounts.
async function spendBudgets({ deps, actor, email, budgets }: Attempt): Promise<void> {
  try {
    await spend(deps, budgets.network);
    await spend(deps, budgets.account);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'rate_limited') throw error;
    await tellFailed({ deps, actor, email }, 'throttled');
    throw error;
  }
}

async function verify({ deps, password, budgets }: Attempt, user: User | undefined) {
  try {
    return await deps.hasher.verify(user?.password_hash, password);
  } catch (error) {
    // The guess was not judged, so it was none.
    await giveBack(deps, deps.pool, budgets.account);
    await giveBack(deps, deps.pool, budgets.network);
    deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason: 'overloaded' });
    throw error;
  }
}

/** Today's hash of a password stored in another way; a later login does it when there is no room now. */
function rehash({ deps, password }: Attempt): Promise<string | undefined> {
  return deps.hasher.hash(password).catch((error) => {
    if (error instanceof AppError) return undefined;
    throw error;
  });
}

function signIn({ deps, actor, budgets, client }: Attempt, verified: User, rehashed: string | undefined) {
  return transaction(deps.pool, async (tx) => {
    const user = await lockUser(tx, verified.id);
    if (user?.status !== 'active' || user.password_hash !== verified.password_hash) return undefined;
    const owner = { ...actor, kind: 'user' as const, user_id: user.id, role: user.role };
    const target = { type: 'user', id: user.id };
    if (rehashed) {
      await updatePasswordHash(tx, user.id, rehashed, deps.clock());
      await publish(tx, owner, 'auth.password_rehashed.v1', { user_id: user.id }, { target });
    }
    await clear(deps, tx, budgets.account);
    // Only this try: a source that owns one account must not earn new guesses at others with it.
    await giveBack(deps, tx, budgets.network);
    return completeSignIn(deps, tx, actor, user, { amr: ['pwd'], client });
  });
}

async function fail(attempt: Attempt, reason: Failure, user_id?: string): Promise<never> {
  await tellFailed(attempt, reason, user_id);
  throw new AppError('auth.invalid_credentials', 'The e-mail address or the password is wrong.');
}

async function tellFailed(
  { deps, actor, email }: Omit<Attempt, 'password' | 'budgets' | 'client'>,
  reason: Failure,
  user_id?: string,
) {
  deps.metrics.logins.inc({ method: 'password', outcome: 'failure', reason });
  void countFailure(deps, email, actor.address);
  const data = { account: accountLabel(deps, email), reason, ...(user_id ? { user_id } : {}) };
  const target = user_id ? { target: { type: 'user', id: user_id } } : {};
  await publish(deps.pool, actor, 'auth.login_failed.v1', data, { ...target, outcome: 'failure' });
}
