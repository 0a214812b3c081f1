import { JOBS, MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Actor } from '@gatehouse/kit/actor';
import { randomToken, seal, sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, lockUser, type User } from '../accounts/accounts.ts';
import { peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { networkOf } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { devicesLane, networkLane, strangersLane } from './lanes.ts';
import { deleteLanes, deleteLockout, noteLock } from './store.ts';

/** Links in mails live for half an hour; after that a forgotten password is the way back. */
const LINK_LIFE_MS = 30 * 60_000;

interface Locked {
  email: string;
  user: User | undefined;
  until: Date | null;
}

/** Records that an address is locked for strangers, and mails its owner the link that ends it, where it has one. */
export async function tellLocked(deps: Deps, tx: Tx, actor: Actor, { email, user, until }: Locked): Promise<void> {
  const now = deps.clock();
  const locked = user?.status === 'active' && user.confirm_by === null ? user : undefined;
  const token = randomToken();
  const token_expires_at = new Date(now.getTime() + LINK_LIFE_MS);
  const payload = JOBS['mail.send'].payload.parse({
    template: 'sign-in-blocked',
    to: locked?.email ?? 'nobody@invalid.invalid',
    params: {
      name: locked?.name ?? '',
      until: (until ?? token_expires_at).toISOString(),
      device: actor.agent,
      address: actor.address,
      at: now.toISOString(),
    },
    expires_at: token_expires_at.toISOString(),
  });
  await noteLock(tx, {
    user_id: locked?.id,
    now,
    locked_until: until,
    token_hash: sha256(token),
    token_expires_at,
    job: {
      id: newId(),
      name: 'mail.send',
      queue: JOBS['mail.send'].queue,
      payload: JSON.stringify(payload),
      secret: seal(deps.secrets.mail, token, MAIL_SECRET.aad),
    },
  });
  const data = {
    account: accountLabel(deps, email),
    until: until?.toISOString() ?? null,
    ...(user ? { user_id: user.id } : {}),
  };
  const target = user ? { target: { type: 'user', id: user.id } } : {};
  await publish(tx, actor, 'auth.account_locked.v1', data, { ...target, outcome: 'denied' });
  if (locked) deps.metrics.lockouts.inc({ scope: 'account' });
}

/** Ends a lock with the link that its mail brought, once. */
export async function unlock(deps: Deps, actor: Actor, token: string): Promise<void> {
  const unlocked = await transaction(deps.pool, async (tx) => {
    const found = await peekToken(deps, tx, 'unlock', token);
    const user = found && (await lockUser(tx, found.user_id));
    if (!user || !(await redeemToken(deps, tx, 'unlock', token))) return false;
    // A link proves the address that it was sent to, and no later one.
    if (user.status !== 'active' || user.email !== found.email) return false;
    await clearLocks(deps, tx, user, { address: actor.address });
    const owner = { ...actor, kind: 'user' as const, user_id: user.id, role: user.role };
    const target = { type: 'user', id: user.id };
    await publish(tx, owner, 'auth.account_unlocked.v1', { user_id: user.id }, { target });
    return true;
  });
  if (unlocked) return;
  await publish(deps.pool, actor, 'auth.link_refused.v1', { purpose: 'unlock' }, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more.');
}

/**
 * Ends the locks and delays of an account: its owner is back by a link, or an administrator says so. `address`: where
 * the owner is, whose own tries are forgotten with it. Tells whether it was locked.
 */
export async function clearLocks(
  deps: Pick<Deps, 'config' | 'clock' | 'metrics' | 'secrets'>,
  tx: Tx,
  { id, email }: Pick<User, 'id' | 'email'>,
  { address }: { address?: string } = {},
): Promise<boolean> {
  const lanes = [strangersLane(deps, email), devicesLane(deps, email)];
  if (address !== undefined) lanes.push(networkLane(deps, email, networkOf(address)));
  await deleteLanes(
    tx,
    lanes.map(({ bucket }) => bucket),
  );
  return deleteLockout(tx, id);
}
