import type { Actor } from '@gatehouse/kit/actor';
import { sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, findUserByEmail, lockUser, markVerified, type User } from '../accounts/accounts.ts';
import { issueToken, peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { mailSecret } from '../mails/mails.ts';
import { answerAllAlike, type Recipient } from '../recovery/alike.ts';
import { mailResetLink } from '../recovery/recovery.ts';
import { mailVerification } from './open.ts';
import { adoptRegistration, findVerification, listRegistrations, takeVerification } from './store.ts';

const LINK_LIFE_MS = 30 * 60_000;

/**
 * Confirms an address with the token from the mail. Where it belongs to a registration, that one's password becomes the
 * account's, so that whoever registered somebody else's address gains nothing when its owner confirms. Whatever was
 * opened before the mailbox was proved ends.
 */
export async function confirmAddress(deps: Deps, actor: Actor, token: string): Promise<void> {
  const confirmed = await transaction(deps.pool, async (tx) => {
    const user = (await confirmRegistration(deps, tx, token)) ?? (await confirmAccount(deps, tx, token));
    if (!user) return false;
    const owner = { ...actor, kind: 'user' as const, user_id: user.id };
    await publish(tx, owner, 'auth.email_verified.v1', { user_id: user.id }, { target: { type: 'user', id: user.id } });
    await cancelCapabilities(deps, tx, owner, user, { reason: 'address_confirmed', keepInvitations: true });
    await endGuestsOf(deps, tx, owner, user.email);
    return true;
  });
  if (confirmed) return;
  await publish(deps.pool, actor, 'auth.link_refused.v1', { purpose: 'verify_address' }, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more.');
}

// The user's row is locked before the token is used up, as everywhere.
async function confirmRegistration(deps: Deps, tx: Tx, token: string): Promise<User | undefined> {
  const now = deps.clock();
  const tokenHash = sha256(token);
  const userId = await findVerification(tx, tokenHash, now);
  const user = userId === undefined ? undefined : await lockUser(tx, userId);
  const registration = user && (await takeVerification(tx, tokenHash, now));
  if (!registration || user.status !== 'active' || user.role !== 'guest' || user.email !== registration.email)
    return undefined;
  await adoptRegistration(tx, user.id, { ...registration, now });
  await markVerified(tx, user.id, now);
  return user;
}

async function confirmAccount(deps: Deps, tx: Tx, token: string): Promise<User | undefined> {
  const found = await peekToken(deps, tx, 'verify_address', token);
  const user = found && (await lockUser(tx, found.user_id));
  if (!user || !(await redeemToken(deps, tx, 'verify_address', token))) return undefined;
  if (user.status !== 'active' || user.email !== found.email) return undefined;
  await markVerified(tx, user.id, deps.clock());
  return user;
}

/** Sends another link to whoever has not confirmed the address yet; all others get the same answer and no mail. */
export async function resendConfirmation(deps: Deps, actor: Actor, email: string): Promise<void> {
  const found = await findUserByEmail(deps.pool, email);
  const user = found?.status === 'active' && found.email_verified_at === null ? found : undefined;
  const asked = 'auth.confirmation_requested.v1';
  const sent = await answerAllAlike(deps, actor, { email, user, asked }, (tx, recipient) =>
    mailConfirmation(deps, tx, recipient),
  );
  const who = user ? { user_id: user.id } : {};
  await publish(deps.pool, actor, asked, {
    account: accountLabel(deps, email),
    ...who,
    sent,
  });
}

/**
 * An account that has its password gets a link that only confirms. A registration gets the link of what was registered;
 * where two have registered the address with different passwords, neither counts: the link asks for a new one.
 */
async function mailConfirmation(deps: Deps, tx: Tx, recipient: Recipient): Promise<void> {
  const { id: user_id, email, name, confirm_by } = recipient;
  // Asked for every address, so that a registration under way takes no longer.
  const [registration, other] = await listRegistrations(tx, user_id);
  if (confirm_by !== null) {
    if (!registration || other) return mailResetLink(deps, tx, recipient);
    return mailVerification(deps, tx, { user_id, email, ...registration, now: deps.clock() });
  }
  const { token, expires_at } = await issueToken(deps, tx, {
    purpose: 'verify_address',
    user_id,
    email,
    lifeMs: LINK_LIFE_MS,
  });
  const until = expires_at.toISOString();
  await mailSecret(deps, tx, { template: 'verify-address', to: email, params: { name }, expires_at: until }, token);
}
