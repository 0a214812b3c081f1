import type { Actor } from '@gatehouse/kit/actor';
import { randomToken, sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, extendClaim, findUserByEmail, insertUserIfFree, type User } from '../accounts/accounts.ts';
import { networkOf } from '../addresses.ts';
import { spend } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';
import { admitGuest } from '../guests/guests.ts';
import { mailNews, mailSecret, mayMail } from '../mails/mails.ts';
import { assertStrong } from '../passwords/passwords.ts';
import { insertVerification } from './store.ts';

export interface OpenRegistration {
  email: string;
  name: string;
  password: string;
}

interface Claim extends Omit<OpenRegistration, 'password'> {
  password_hash: string;
  confirm_by: Date;
  now: Date;
}

const LINK_LIFE_MS = 30 * 60_000;
const CLAIM_LIFE_MS = 7 * 86_400_000;
const REGISTRATIONS_PER_NETWORK = { limiter: 'registration_network', max: 30, windowSeconds: 3600 } as const;

/**
 * Registers whoever asks. Known and unknown addresses get the same work and the same answer; what differs is only the
 * mail, which the owner of the address reads. Until the link of that mail is used the account has no password; whoever
 * registered visits as a guest of the address, free or taken, so that a sign-in cannot tell either which it was.
 */
export async function registerOpenly(deps: Deps, actor: Actor, request: OpenRegistration): Promise<void> {
  deps.hasher.assertRoom();
  await assertAdmissible(deps, actor, request);
  const { email, name, password } = request;
  const password_hash = await deps.hasher.hash(password);
  const now = deps.clock();
  const confirm_by = new Date(now.getTime() + CLAIM_LIFE_MS);
  const claim = { email, name, password_hash, confirm_by, now };
  const mailed = await mayMail(deps, email);
  const isNew = await transaction(deps.pool, async (tx) => {
    const found = await findOrInsertClaim(tx, claim);
    await admitGuest(deps, tx, actor, { ...claim, password_tag: deps.hasher.tag(password) });
    await tell(deps, tx, actor, found);
    if (mailed) await mail(deps, tx, found.user, claim);
    return found.isNew;
  });
  deps.metrics.registrations.inc(
    isNew ? { outcome: 'success', reason: 'ok' } : { outcome: 'rejected', reason: 'address_taken' },
  );
}

/** Counts a registration of a network; throws `rate_limited` beyond thirty an hour. */
export function spendRegistration(deps: Deps, actor: Actor): Promise<void> {
  return spend(deps, { ...REGISTRATIONS_PER_NETWORK, subject: networkOf(actor.address) });
}

async function assertAdmissible(deps: Deps, actor: Actor, { email, name, password }: OpenRegistration): Promise<void> {
  try {
    await spendRegistration(deps, actor);
    assertStrong(deps, password, [email, name]);
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error;
    const reason = error.code === 'rate_limited' ? 'throttled' : 'password_weak';
    deps.metrics.registrations.inc({ outcome: 'rejected', reason });
    const refused = { account: accountLabel(deps, email), reason } as const;
    await publish(deps.pool, actor, 'auth.registration_refused.v1', refused, { outcome: 'denied' });
    throw error;
  }
}

function tell(deps: Deps, tx: Tx, actor: Actor, { user, isNew }: { user: User; isNew: boolean }): Promise<void> {
  const target = { type: 'user', id: user.id };
  if (isNew)
    return publish(tx, actor, 'auth.user_registered.v1', { user_id: user.id, mode: 'open', role: 'guest' }, { target });
  const refused = { account: accountLabel(deps, user.email), reason: 'address_taken' } as const;
  return publish(tx, actor, 'auth.registration_refused.v1', refused, { target, outcome: 'denied' });
}

async function findOrInsertClaim(tx: Tx, { email, name, confirm_by, now }: Claim) {
  const id = newId();
  const isNew = await insertUserIfFree(tx, { id, email, name, role: 'guest', password_hash: null, confirm_by, now });
  const user = await findUserByEmail(tx, email);
  if (!user) throw new AppError('conflict', 'The account is being deleted. Try again.');
  await extendClaim(tx, user.id, confirm_by);
  return { user, isNew };
}

/** A link for whoever may still confirm the address; for the owner of an account the news that somebody tried. */
async function mail(
  deps: Deps,
  tx: Tx,
  user: User,
  { email, name, password_hash, now }: Omit<Claim, 'confirm_by'>,
): Promise<void> {
  if (user.confirm_by === null)
    return mailNews(tx, { template: 'address-taken', to: email, params: { name: user.name } });
  return mailVerification(deps, tx, { user_id: user.id, email, name, password_hash, now });
}

/** Sends a link that confirms the address and makes the name and password of its registration the account's. */
export async function mailVerification(
  deps: Deps,
  tx: Tx,
  { now, ...registration }: { user_id: string; email: string; name: string; password_hash: string; now: Date },
): Promise<void> {
  const token = randomToken();
  const expires_at = new Date(now.getTime() + LINK_LIFE_MS);
  await insertVerification(tx, { token_hash: sha256(token), ...registration, now, expires_at });
  const { email: to, name } = registration;
  const until = expires_at.toISOString();
  await mailSecret(deps, tx, { template: 'verify-address', to, params: { name }, expires_at: until }, token);
}
