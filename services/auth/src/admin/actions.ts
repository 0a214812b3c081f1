import type { EventData } from '@gatehouse/contracts/events';
import type { PlatformRole } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { hasEnded, lockUser, type User } from '../accounts/accounts.ts';
import { closeAccount, restoreAccount } from '../accounts/closing.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import { cancelChallengesOf } from '../challenges/challenges.ts';
import type { Deps } from '../deps.ts';
import { dropTrustOf } from '../devices/devices.ts';
import { cancelFactorsOf, listFactors } from '../factors/factors.ts';
import { mailChange } from '../factors/notices.ts';
import { forgetGuesses } from '../factors/proof.ts';
import { mailResetLink } from '../recovery/recovery.ts';
import { endSessionsOf } from '../sessions/sessions.ts';
import { clearLocks } from '../throttling/throttling.ts';
import {
  type AccountStatus,
  disableUser,
  enableUser,
  findUserDetail,
  lockAdmins,
  requireReset,
  updateRole,
} from './store.ts';
import { getUser } from './users.ts';

interface Change {
  user_id: string;
  reason: string;
}

interface Held {
  tx: Tx;
  user: User;
  /** Active administrators, this one among them; all are held until the commit. */
  admins: string[];
}

/** Disables an account: everything that could still turn into access to it ends. */
export function disable(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'disable' }, async ({ tx, user, admins }) => {
    assertOther(actor, user);
    assertAdminLeft(user, admins);
    if (user.disabled_at !== null) throw new AppError('conflict', 'The account is disabled already.');
    await disableUser(tx, user.id, reason, deps.clock());
    await cancelCapabilities(deps, tx, actor, user, { reason: 'disabled' });
    await tell(tx, actor, 'auth.user_disabled.v1', user, { reason, new: { status: 'disabled' } });
  });
}

export function enable(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'enable' }, async ({ tx, user }) => {
    if (user.disabled_at === null) throw new AppError('conflict', 'The account is not disabled.');
    await enableUser(tx, user.id, deps.clock());
    const status = user.deletion_due_at ? 'closing' : 'active';
    await tell(tx, actor, 'auth.user_enabled.v1', user, { reason, new: { status } });
  });
}

/** Closes an account: it is deleted when the grace period ends, and can be restored until then. */
export function close(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'delete' }, async ({ tx, user }) => {
    assertOther(actor, user);
    if (user.deletion_due_at !== null) throw new AppError('conflict', 'The account is closing already.');
    await closeAccount(deps, tx, actor, user, { by: 'admin' });
    await tell(tx, actor, 'auth.user_deletion_ordered.v1', user, { reason, new: { status: 'closing' } });
  });
}

export function restore(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'restore' }, async ({ tx, user }) => {
    if (user.deletion_due_at === null) throw new AppError('conflict', 'The account is not closing.');
    await restoreAccount(deps, tx, actor, user, { by: 'admin' });
    const status = user.disabled_at === null ? 'active' : 'disabled';
    await tell(tx, actor, 'auth.user_restored.v1', user, { reason, new: { status } });
  });
}

/**
 * Gives another role on the platform. Sessions end, because those of administrators live shorter, and trust in devices:
 * it may rest on a code by mail, which is no second factor of an administrator.
 */
export function changeRole(deps: Deps, actor: UserActor, { user_id, reason, role }: Change & { role: PlatformRole }) {
  return change(deps, actor, { user_id, action: 'change_role' }, async ({ tx, user, admins }) => {
    if (user.role === role) return;
    assertAdminLeft(user, admins);
    const unproved = user.confirm_by !== null || (role === 'admin' && user.role === 'guest');
    if (unproved) throw new AppError('conflict', 'The address is not confirmed yet.');
    await updateRole(tx, user.id, role, deps.clock());
    await endSessionsOf(deps, tx, actor, user.id, 'admin');
    await cancelChallengesOf(tx, user.id);
    await dropTrustOf(tx, user.id);
    const data = { user_id: user.id, reason, old: { role: user.role }, new: { role } };
    await publish(tx, actor, 'auth.user_role_changed.v1', data, targetOf(user));
  });
}

export function endSessions(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'end_sessions' }, async ({ tx, user }) => {
    const sessions = (await findUserDetail(tx, user.id, deps.clock()))?.sessions ?? 0;
    await endSessionsOf(deps, tx, actor, user.id, 'admin');
    // A sign-in that waits for its second factor would be a session a moment later.
    await cancelChallengesOf(tx, user.id);
    const data = { user_id: user.id, reason, old: { sessions }, new: { sessions: 0 } };
    await publish(tx, actor, 'auth.user_sessions_ended.v1', data, targetOf(user));
  });
}

export function unlock(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'unlock' }, async ({ tx, user }) => {
    const locked = await clearLocks(deps, tx, user);
    await forgetGuesses(deps, tx, user.id);
    const data = { user_id: user.id, reason, old: { locked }, new: { locked: false } };
    await publish(tx, actor, 'auth.user_unlocked.v1', data, targetOf(user));
  });
}

/** The password counts no more: sessions end, and a mail brings the link that sets a new one. */
export function forceReset(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'reset_password' }, async ({ tx, user }) => {
    if (user.status !== 'active' || user.confirm_by !== null)
      throw new AppError('conflict', 'The account is not in use.');
    await requireReset(tx, user.id, deps.clock());
    await cancelCapabilities(deps, tx, actor, user, { reason: 'admin' });
    await mailResetLink(deps, tx, user);
    const data = {
      user_id: user.id,
      reason,
      old: { password_reset_required: user.password_reset_required },
      new: { password_reset_required: true },
    };
    await publish(tx, actor, 'auth.user_reset_forced.v1', data, targetOf(user));
  });
}

/**
 * Takes every second factor of a user who has lost them all, recovery codes included. The next sign-in asks for the
 * password alone, or has a factor set up where one is asked for; sessions, trust and what is under way end.
 */
export function resetFactors(deps: Deps, actor: UserActor, { user_id, reason }: Change) {
  return change(deps, actor, { user_id, action: 'reset_factors' }, async ({ tx, user }) => {
    assertOther(actor, user);
    const factors = await listFactors(tx, user.id);
    if (factors.length === 0) throw new AppError('conflict', 'The user has no second factor.');
    await cancelFactorsOf(tx, user.id);
    await forgetGuesses(deps, tx, user.id);
    await cancelCapabilities(deps, tx, actor, user, { reason: 'admin', keepInvitations: true });
    const data = {
      user_id: user.id,
      reason,
      old: { second_factors: factors.map(({ method }) => method) },
      new: { second_factors: [] },
    };
    await publish(tx, actor, 'auth.user_factors_reset.v1', data, targetOf(user));
    // The administrator's device and address are nothing to the user.
    await mailChange(deps, tx, { ...actor, agent: '', address: '' }, user, 'reset_by_admin');
  });
}

/**
 * Changes a user in one transaction that holds every administrator and then the user, so that of two administrators who
 * act on one another the second finds out that it is none any more.
 */
async function change(
  deps: Deps,
  actor: UserActor,
  { user_id, action }: { user_id: string; action: string },
  apply: (held: Held) => Promise<void>,
) {
  try {
    return await transaction(deps.pool, async (tx) => {
      const admins = await lockAdmins(tx);
      if (!admins.includes(actor.user_id)) throw new AppError('access.denied');
      // Whoever waited for the lock while the own sessions were ended does not go on.
      if (await hasEnded(tx, actor.session_id)) throw new AppError('auth.session_ended');
      const user = await lockUser(tx, user_id);
      if (!user || user.status === 'deleted') throw new AppError('auth.account_not_found', 'There is no such user.');
      await apply({ tx, user, admins });
      return getUser(deps, tx, user.id);
    });
  } catch (error) {
    const why = whyRefused(error);
    if (why) {
      const options = { target: { type: 'user', id: user_id }, outcome: 'denied' } as const;
      await publish(deps.pool, actor, 'auth.user_change_refused.v1', { user_id, action, why }, options);
    }
    throw error;
  }
}

const ONESELF = 'Another administrator must do this to your account.';

function assertOther(actor: UserActor, user: User): void {
  if (user.id === actor.user_id) throw new AppError('conflict', ONESELF);
}

function assertAdminLeft(user: User, admins: string[]): void {
  if (admins.length === 1 && admins[0] === user.id)
    throw new AppError('auth.last_admin', 'Make somebody else an administrator first.');
}

function whyRefused(error: unknown): EventData<'auth.user_change_refused.v1'>['why'] | undefined {
  if (!(error instanceof AppError)) return undefined;
  if (error.message === ONESELF) return 'oneself';
  return ({ 'auth.last_admin': 'last_admin', 'org.last_owner': 'last_owner' } as const)[
    error.code as 'auth.last_admin'
  ];
}

const targetOf = (user: User) => ({ target: { type: 'user', id: user.id } });

function statusOf({ status, deletion_due_at }: Pick<User, 'status' | 'deletion_due_at'>): AccountStatus {
  return status === 'disabled' && deletion_due_at !== null ? 'closing' : status;
}

type StatusEvent =
  | 'auth.user_disabled.v1'
  | 'auth.user_enabled.v1'
  | 'auth.user_deletion_ordered.v1'
  | 'auth.user_restored.v1';

function tell(
  tx: Tx,
  actor: UserActor,
  type: StatusEvent,
  user: User,
  told: { reason: string; new: { status: AccountStatus } },
): Promise<void> {
  return publish(tx, actor, type, { user_id: user.id, old: { status: statusOf(user) }, ...told }, targetOf(user));
}
