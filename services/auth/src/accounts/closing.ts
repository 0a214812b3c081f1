import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { issueToken, peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { mailSecret } from '../mails/mails.ts';
import { lockOwnAccount, lockUser, type User } from './accounts.ts';
import { closeUser, hasOtherAdmin, listSoleOwnerships, reopenUser } from './store.ts';

const DAY_MS = 86_400_000;

interface Closing {
  /** Only who closes the own account gets the link that keeps it. */
  by: 'user' | 'admin';
}

/**
 * Closes an account: nobody signs in to it any more, and when the time for second thoughts is over it is deleted. The
 * caller's transaction holds the user's row. Refuses to leave an organization without an owner, or the platform without
 * an administrator.
 */
export async function closeAccount(deps: Deps, tx: Tx, actor: Actor, user: User, { by }: Closing): Promise<Date> {
  if (user.role === 'admin' && user.status === 'active' && !(await hasOtherAdmin(tx, user.id)))
    throw new AppError('auth.last_admin', 'Make somebody else an administrator first.');
  if ((await listSoleOwnerships(tx, user.id)).length > 0)
    throw new AppError('org.last_owner', 'Hand over or delete the organizations that have no other owner first.');
  const now = deps.clock();
  const lifeMs = deps.config.ACCOUNT_DELETION_GRACE_DAYS * DAY_MS;
  const due = user.deletion_due_at ?? new Date(now.getTime() + lifeMs);
  await closeUser(tx, user.id, { due, now });
  await cancelCapabilities(deps, tx, actor, user, { reason: 'account_closed' });
  const until = due.toISOString();
  const target = { type: 'user', id: user.id };
  await publish(tx, actor, 'auth.account_closing.v1', { user_id: user.id, by, deletion_due_at: until }, { target });
  if (by === 'user') {
    const { id: user_id, email, name } = user;
    const { token } = await issueToken(deps, tx, { purpose: 'restore_account', user_id, email, lifeMs });
    const mail = { template: 'account-closing', to: email, params: { name, until }, expires_at: until } as const;
    await mailSecret(deps, tx, mail, token);
  }
  return due;
}

/** Keeps a closing account. One that an administrator disabled stays disabled. The caller holds the user's row. */
export async function restoreAccount(
  deps: Pick<Deps, 'clock'>,
  tx: Tx,
  actor: Actor,
  user: User,
  { by }: Closing,
): Promise<void> {
  await reopenUser(tx, user.id, deps.clock());
  const target = { type: 'user', id: user.id };
  await publish(tx, actor, 'auth.account_restored.v1', { user_id: user.id, by }, { target });
}

export async function closeOwnAccount(deps: Deps, actor: UserActor): Promise<{ deletion_due_at: Date }> {
  try {
    return await transaction(deps.pool, async (tx) => {
      // All administrators in one order, as whoever acts on one of them does: otherwise each would wait for the other.
      if (actor.role === 'admin') await hasOtherAdmin(tx, actor.user_id);
      const user = await lockOwnAccount(tx, actor);
      return { deletion_due_at: await closeAccount(deps, tx, actor, user, { by: 'user' }) };
    });
  } catch (error) {
    const reasons = { 'org.last_owner': 'last_owner', 'auth.last_admin': 'last_admin' } as const;
    const reason = error instanceof AppError ? reasons[error.code as keyof typeof reasons] : undefined;
    if (reason) {
      const options = { target: { type: 'user', id: actor.user_id }, outcome: 'denied' } as const;
      await publish(deps.pool, actor, 'auth.account_closing_refused.v1', { user_id: actor.user_id, reason }, options);
    }
    throw error;
  }
}

/** Keeps a closing account by the link that its owner got. */
export async function restoreByLink(deps: Deps, actor: Actor, token: string): Promise<void> {
  const restored = await transaction(deps.pool, async (tx) => {
    const found = await peekToken(deps, tx, 'restore_account', token);
    const user = found && (await lockUser(tx, found.user_id));
    if (!user || !(await redeemToken(deps, tx, 'restore_account', token))) return false;
    const closing = user.status === 'disabled' && user.deletion_due_at !== null && user.deletion_due_at > deps.clock();
    if (!closing || user.email !== found.email) return false;
    await restoreAccount(deps, tx, { ...actor, kind: 'user', user_id: user.id }, user, { by: 'user' });
    return true;
  });
  if (restored) return;
  await publish(deps.pool, actor, 'auth.link_refused.v1', { purpose: 'restore_account' }, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more.');
}
