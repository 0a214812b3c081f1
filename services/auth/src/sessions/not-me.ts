import type { Actor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import { lockUser } from '../accounts/accounts.ts';
import { peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { revokeDeviceOf } from '../devices/devices.ts';
import { mailResetLink } from '../recovery/recovery.ts';
import { requirePasswordReset } from './store.ts';

const Bound = z.object({ device_id: z.uuid() });

/**
 * "This was not me", from the mail about a new device. Whoever signed in there has the password and may have used it
 * elsewhere too: all that could turn into access ends, and the next sign-in needs a new password.
 */
export async function notMe(deps: Deps, actor: Actor, token: string): Promise<{ password_reset_required: true }> {
  const done = await transaction(deps.pool, async (tx) => {
    const found = await peekToken(deps, tx, 'not_me', token);
    const user = found && (await lockUser(tx, found.user_id));
    const taken = user && (await redeemToken(deps, tx, 'not_me', token));
    // The link says something about the address that it was sent to, and about no other.
    if (!taken || user.status === 'deleted' || user.email !== taken.email) return false;
    const { device_id } = Bound.parse(taken.data);
    const owner = { ...actor, kind: 'user' as const, user_id: user.id };
    const data = { user_id: user.id, device_id };
    await publish(tx, owner, 'auth.not_me.v1', data, { target: { type: 'user', id: user.id } });
    await cancelCapabilities(deps, tx, owner, user, { reason: 'not_me' });
    await revokeDeviceOf(deps, tx, owner, user.id, device_id);
    await requirePasswordReset(tx, user.id, deps.clock());
    if (user.status === 'active') await mailResetLink(deps, tx, user);
    return true;
  });
  if (done) return { password_reset_required: true };
  await publish(deps.pool, actor, 'auth.link_refused.v1', { purpose: 'not_me' }, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more.');
}
