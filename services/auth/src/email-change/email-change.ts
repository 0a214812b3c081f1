import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { maskEmail } from '@gatehouse/kit/email';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import {
  accountLabel,
  discardClaims,
  findUserByEmail,
  lockOwnAccount,
  lockUser,
  type User,
  updateEmail,
} from '../accounts/accounts.ts';
import { cancelTokens, issueToken, peekToken, redeemToken } from '../action-tokens/action-tokens.ts';
import { spend } from '../budgets/budgets.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { mailNews, mailSecret, mayMail, occasionOf } from '../mails/mails.ts';
import { confirmSide, deleteEmailChange, type EmailChange, insertEmailChange } from './store.ts';

const LIFE_MS = 30 * 60_000;
const CHANGES_PER_USER = { limiter: 'email_change', max: 5, windowSeconds: 3600 } as const;
const PURPOSES = { old: 'email_change_old', new: 'email_change_new' } as const;
type Side = keyof typeof PURPOSES;

/** What a link of a change stands for, beside its user and address. */
const TokenData = z.object({ change_id: z.uuid(), session_id: z.uuid() });

/**
 * Asks both addresses to confirm that one becomes the other; a newer wish replaces an older one. A target that somebody
 * has gets the same answer and the same mail to the old address: only its owner is told, in another mail.
 */
export async function requestEmailChange(deps: Deps, actor: UserActor, newEmail: string): Promise<void> {
  await spendChange(deps, actor, newEmail);
  const mailed = await mayMail(deps, newEmail);
  await transaction(deps.pool, async (tx) => {
    const user = await lockOwnAccount(tx, actor);
    if (user.email === newEmail)
      throw new AppError('request.invalid', 'This is your address already.', {
        details: [{ pointer: '/new_email', message: 'is your address already' }],
      });
    const change = await replaceChange(deps, tx, user, newEmail);
    await mailSide(deps, tx, { actor, user, change, side: 'old' });
    const owner = await findUserByEmail(tx, newEmail);
    const taken = owner !== undefined && owner.confirm_by === null;
    if (mailed && !taken) await mailSide(deps, tx, { actor, user, change, side: 'new' });
    if (mailed && taken) await mailNews(tx, { template: 'address-taken', to: newEmail, params: { name: owner.name } });
    const requested = { user_id: user.id, new: accountLabel(deps, newEmail), taken };
    await publish(tx, actor, 'auth.email_change_requested.v1', requested, { target: { type: 'user', id: user.id } });
  });
}

async function spendChange(deps: Deps, actor: UserActor, newEmail: string): Promise<void> {
  try {
    await spend(deps, { ...CHANGES_PER_USER, subject: actor.user_id });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'rate_limited') throw error;
    await refused(deps, actor, { user_id: actor.user_id, new_email: newEmail, reason: 'throttled' });
    throw error;
  }
}

async function replaceChange(deps: Deps, tx: Tx, user: User, new_email: string): Promise<Wish> {
  await deleteEmailChange(tx, user.id);
  await cancelTokens(tx, user.id, Object.values(PURPOSES));
  const now = deps.clock();
  const expires_at = new Date(now.getTime() + LIFE_MS);
  const id = newId();
  await insertEmailChange(tx, { id, user_id: user.id, old_email: user.email, new_email, now, expires_at });
  return { id, new_email };
}

type Wish = Pick<EmailChange, 'id' | 'new_email'>;

async function mailSide(
  deps: Deps,
  tx: Tx,
  { actor, user, change, side }: { actor: UserActor; user: User; change: Wish; side: Side },
): Promise<void> {
  const to = side === 'old' ? user.email : change.new_email;
  const { token, expires_at } = await issueToken(deps, tx, {
    purpose: PURPOSES[side],
    user_id: user.id,
    email: to,
    lifeMs: LIFE_MS,
    data: { change_id: change.id, session_id: actor.session_id } satisfies z.infer<typeof TokenData>,
  });
  // The old address may be in somebody else's hands by now.
  const new_email = side === 'old' ? maskEmail(change.new_email) : change.new_email;
  const params = { name: user.name, side, new_email };
  const until = expires_at.toISOString();
  await mailSecret(deps, tx, { template: 'email-change', to, params, expires_at: until }, token);
}

type Confirmed =
  | { status: 'waiting' | 'changed' | 'refused' }
  | { status: 'taken'; user_id: string; new_email: string };

/** Notes that one of the two addresses has agreed; the second one makes the change. */
export async function confirmEmailChange(
  deps: Deps,
  actor: Actor,
  token: string,
): Promise<{ status: 'waiting' | 'changed' }> {
  const confirmed = await confirm(deps, actor, token);
  if (confirmed.status === 'waiting' || confirmed.status === 'changed') return { status: confirmed.status };
  if (confirmed.status === 'taken') {
    const { user_id, new_email } = confirmed;
    await dropChange(deps, user_id);
    await refused(deps, actor, { user_id, new_email, reason: 'address_taken' });
    throw new AppError('auth.account_taken', 'The new address cannot be used any more.');
  }
  await publish(deps.pool, actor, 'auth.link_refused.v1', { purpose: 'email_change' }, { outcome: 'denied' });
  throw new AppError('auth.token_refused', 'The link is not valid any more.');
}

async function confirm(deps: Deps, actor: Actor, token: string): Promise<Confirmed> {
  let target: { user_id: string; new_email: string } | undefined;
  try {
    return await transaction(deps.pool, async (tx) => {
      const link = await redeemLink(deps, tx, token);
      if (!link) return { status: 'refused' };
      const { user, side, data } = link;
      const change = await confirmSide(tx, { id: data.change_id, side, now: deps.clock() });
      if (!change || change.user_id !== user.id || change.old_email !== user.email) return { status: 'refused' };
      const owner = { ...actor, kind: 'user' as const, user_id: user.id };
      const options = { target: { type: 'user', id: user.id } };
      await publish(tx, owner, 'auth.email_change_confirmed.v1', { user_id: user.id, side }, options);
      if (!change.old_confirmed_at || !change.new_confirmed_at) return { status: 'waiting' };
      target = change;
      await changeEmail(deps, tx, owner, { user, change, session_id: data.session_id });
      return { status: 'changed' };
    });
  } catch (error) {
    if (target && error instanceof AppError && error.code === 'auth.account_taken')
      return { status: 'taken', ...target };
    throw error;
  }
}

async function redeemLink(deps: Deps, tx: Tx, token: string) {
  for (const side of ['old', 'new'] as const) {
    const found = await peekToken(deps, tx, PURPOSES[side], token);
    if (!found) continue;
    const user = await lockUser(tx, found.user_id);
    const taken = await redeemToken(deps, tx, PURPOSES[side], token);
    if (!taken || user?.status !== 'active') return undefined;
    return { user, side, data: TokenData.parse(taken.data) };
  }
  return undefined;
}

interface Agreed {
  user: User;
  change: EmailChange;
  session_id: string;
}

async function changeEmail(deps: Deps, tx: Tx, actor: Actor, { user, change, session_id }: Agreed): Promise<void> {
  const now = deps.clock();
  await discardClaims(tx, [change.new_email], now);
  await updateEmail(tx, user.id, change.new_email, now);
  await endGuestsOf(deps, tx, actor, change.new_email);
  const changed = {
    user_id: user.id,
    old: accountLabel(deps, user.email),
    new: accountLabel(deps, change.new_email),
  };
  await publish(tx, actor, 'auth.email_changed.v1', changed, { target: { type: 'user', id: user.id } });
  // The session that asked has been proved by both mailboxes; no other has.
  await cancelCapabilities(deps, tx, actor, user, { reason: 'email_changed', keepSession: session_id });
  const params = { name: user.name, new_email: maskEmail(change.new_email), ...occasionOf(deps, actor) };
  await mailNews(tx, { template: 'email-changed', to: user.email, params });
}

/** Forgets a change that is not wanted or not possible any more, with its links. */
function dropChange(deps: Pick<Deps, 'pool'>, userId: string): Promise<boolean> {
  return transaction(deps.pool, async (tx) => {
    await lockUser(tx, userId);
    await cancelTokens(tx, userId, Object.values(PURPOSES));
    return deleteEmailChange(tx, userId);
  });
}

export async function cancelEmailChange(deps: Pick<Deps, 'pool'>, actor: UserActor): Promise<void> {
  const { user_id } = actor;
  await transaction(deps.pool, async (tx) => {
    await lockUser(tx, user_id);
    await cancelTokens(tx, user_id, Object.values(PURPOSES));
    if (!(await deleteEmailChange(tx, user_id))) return;
    const target = { type: 'user', id: user_id };
    await publish(tx, actor, 'auth.email_change_cancelled.v1', { user_id }, { target });
  });
}

interface Refusal {
  user_id: string;
  new_email: string;
  reason: 'address_taken' | 'throttled';
}

async function refused(deps: Deps, actor: Actor, { user_id, new_email, reason }: Refusal): Promise<void> {
  const data = { user_id, new: accountLabel(deps, new_email), reason };
  const target = { type: 'user', id: user_id };
  await publish(deps.pool, actor, 'auth.email_change_refused.v1', data, { target, outcome: 'denied' });
}
