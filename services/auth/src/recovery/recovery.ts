import type { Actor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import {
  accountLabel,
  findUser,
  findUserByEmail,
  lockUser,
  markVerified,
  setPassword,
  type User,
} from '../accounts/accounts.ts';
import { cancelTokens, issueToken, peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { cancelFactorsOf } from '../factors/factors.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { mailNews, mailSecret, occasionOf } from '../mails/mails.ts';
import { assertStrong, guessableWords } from '../passwords/passwords.ts';
import { clearLocks } from '../throttling/throttling.ts';
import { answerAllAlike, type Recipient } from './alike.ts';
import { lockRequests } from './store.ts';

const LINK_LIFE_MS = 30 * 60_000;

/** Mails a link that sets a new password, where there is an account in use; the newest link is the only one. */
export async function requestReset(deps: Deps, actor: Actor, email: string): Promise<void> {
  const found = await findUserByEmail(deps.pool, email);
  const user = found?.status === 'active' ? found : undefined;
  const asked = 'auth.password_reset_requested.v1';
  const sent = await answerAllAlike(deps, actor, { email, user, asked }, (tx, recipient) =>
    mailResetLink(deps, tx, recipient),
  ).catch((error) => {
    if (error instanceof AppError && error.code === 'rate_limited')
      deps.metrics.passwordResets.inc({ outcome: 'throttled' });
    throw error;
  });
  deps.metrics.passwordResets.inc({ outcome: 'requested' });
  const account = accountLabel(deps, email);
  const who = user ? { user_id: user.id } : {};
  await publish(deps.pool, actor, asked, { account, ...who, sent });
}

/** Mails the one link that sets a new password; it proves the address as well. */
export async function mailResetLink(deps: Deps, tx: Tx, { id: user_id, email, name }: Recipient): Promise<void> {
  await lockRequests(tx, email);
  await cancelTokens(tx, user_id, ['password_reset']);
  const { token, expires_at } = await issueToken(deps, tx, {
    purpose: 'password_reset',
    user_id,
    email,
    lifeMs: LINK_LIFE_MS,
  });
  const until = expires_at.toISOString();
  await mailSecret(deps, tx, { template: 'password-reset', to: email, params: { name }, expires_at: until }, token);
}

interface Reset {
  token: string;
  new_password: string;
}

/**
 * Sets a new password by the link from the mail and signs nobody in. Everything that could still turn into access ends.
 * An account whose address was never proved before may have been somebody else's until now, so that its second factors
 * go as well; those of a proved one, and those of an administrator, stay and are asked for at the next sign-in.
 */
export async function resetPassword(deps: Deps, actor: Actor, { token, new_password }: Reset): Promise<void> {
  deps.hasher.assertRoom();
  const found = await peekToken(deps, deps.pool, 'password_reset', token);
  const account = found && (await findUser(deps.pool, found.user_id));
  if (!account) return refuse(deps, actor);
  const words = await guessableWords(deps, { user_id: account.id, words: [account.email, account.name] });
  assertStrong(deps, new_password, words, '/new_password');
  await assertOther(deps, account, new_password);
  const hash = await deps.hasher.hash(new_password);
  const done = await transaction(deps.pool, async (tx) => {
    const user = await lockUser(tx, account.id);
    const taken = await redeemToken(deps, tx, 'password_reset', token);
    // A link proves the address that it was sent to, and no later one.
    if (!taken || user?.status !== 'active' || user.email !== taken.email) return false;
    const now = deps.clock();
    await setPassword(tx, user.id, hash, now);
    const verified = user.email_verified_at === null;
    if (verified) {
      await markVerified(tx, user.id, now);
      // An administrator was made one by somebody who may do so. A mailbox alone never makes another one.
      if (user.role !== 'admin') await cancelFactorsOf(tx, user.id);
    }
    const owner = { ...actor, kind: 'user' as const, user_id: user.id };
    const target = { type: 'user', id: user.id };
    await publish(tx, owner, 'auth.password_reset.v1', { user_id: user.id, verified }, { target });
    await cancelCapabilities(deps, tx, owner, user, { reason: 'password_reset' });
    await endGuestsOf(deps, tx, owner, user.email);
    await clearLocks(deps, tx, user, { address: actor.address });
    const { email: to, name } = user;
    await mailNews(tx, { template: 'password-changed', to, params: { name, ...occasionOf(deps, actor) } });
    return true;
  });
  if (!done) return refuse(deps, actor, account.id);
  deps.metrics.passwordResets.inc({ outcome: 'success' });
}

/** A password that counts no more, because somebody else has it, does not come back by the link that replaces it. */
async function assertOther({ hasher }: Deps, account: User, password: string): Promise<void> {
  if (!account.password_reset_required || !(await hasher.verify(account.password_hash, password)).matches) return;
  throw new AppError('request.invalid', 'The new password is the old one.', {
    details: [{ pointer: '/new_password', message: 'is the old one' }],
  });
}

async function refuse(deps: Deps, actor: Actor, user_id?: string): Promise<never> {
  deps.metrics.passwordResets.inc({ outcome: 'refused' });
  const refused = { purpose: 'password_reset', ...(user_id ? { user_id } : {}) } as const;
  await publish(deps.pool, actor, 'auth.link_refused.v1', refused, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more. Ask for a new one.');
}
