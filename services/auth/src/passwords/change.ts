import type { UserActor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { findUser, lockOwnAccount, setPassword, type User } from '../accounts/accounts.ts';
import { type Budget, clear, giveBack, spend } from '../budgets/budgets.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { mailNews, occasionOf } from '../mails/mails.ts';
import { assertStrong, guessableWords } from './passwords.ts';

interface Change {
  current_password: string;
  new_password: string;
}

/** Changes the own password; every other session and whatever else could turn into access ends. */
export async function changePassword(deps: Deps, actor: UserActor, change: Change): Promise<void> {
  deps.hasher.assertRoom();
  const budget: Budget = { limiter: 'password_change', subject: actor.user_id, max: 5, windowSeconds: 900 };
  const user = await findUser(deps.pool, actor.user_id);
  if (user?.status !== 'active') throw new AppError('auth.session_ended');
  await spendGuess(deps, actor, budget);
  await assertCurrent(deps, actor, { user, budget, password: change.current_password });
  const words = await guessableWords(deps, { user_id: user.id, words: [user.email, user.name] });
  assertStrong(deps, change.new_password, words, '/new_password');
  if (change.new_password.normalize('NFKC') === change.current_password.normalize('NFKC'))
    throw new AppError('request.invalid', 'The new password is the old one.', {
      details: [{ pointer: '/new_password', message: 'is the old one' }],
    });
  const hash = await deps.hasher.hash(change.new_password);
  await transaction(deps.pool, async (tx) => {
    const locked = await lockOwnAccount(tx, actor);
    // Reset or changed since it was verified: what was proved does not hold any more.
    if (locked.password_hash !== user.password_hash) throw new AppError('auth.session_ended');
    await setPassword(tx, user.id, hash, deps.clock());
    await clear(deps, tx, budget);
    const target = { type: 'user', id: user.id };
    await publish(tx, actor, 'auth.password_changed.v1', { user_id: user.id }, { target });
    await cancelCapabilities(deps, tx, actor, locked, { reason: 'password_changed', keepSession: actor.session_id });
    const params = { name: locked.name, ...occasionOf(deps, actor) };
    await mailNews(tx, { template: 'password-changed', to: locked.email, params });
  });
}

// A session in wrong hands must not be good for guessing the password that it was opened with.
async function spendGuess(deps: Deps, actor: UserActor, budget: Budget): Promise<void> {
  try {
    await spend(deps, budget);
  } catch (error) {
    if (error instanceof AppError && error.code === 'rate_limited') await refused(deps, actor, 'throttled');
    throw error;
  }
}

interface Guess {
  user: User;
  budget: Budget;
  password: string;
}

async function assertCurrent(deps: Deps, actor: UserActor, { user, budget, password }: Guess): Promise<void> {
  const verified = await deps.hasher.verify(user.password_hash, password).catch(async (error) => {
    // The guess was not judged, so it was none.
    await giveBack(deps, deps.pool, budget);
    throw error;
  });
  if (verified.matches) return;
  await refused(deps, actor, 'wrong_password');
  throw new AppError('auth.invalid_credentials', 'The current password is wrong.');
}

async function refused(deps: Deps, actor: UserActor, reason: 'wrong_password' | 'throttled'): Promise<void> {
  const data = { user_id: actor.user_id, reason };
  const target = { type: 'user', id: actor.user_id };
  await publish(deps.pool, actor, 'auth.password_change_refused.v1', data, { target, outcome: 'failure' });
}
