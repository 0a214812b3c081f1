import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Actor } from '@gatehouse/kit/actor';
import { randomToken, seal, sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import {
  accountLabel,
  confirmGuest,
  findUserByEmail,
  insertUserIfFree,
  lockUser,
  type User,
} from '../accounts/accounts.ts';
import { networkOf } from '../addresses.ts';
import { spend, trySpend } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';
import { assertStrong } from '../passwords/passwords.ts';
import { endSessionsOf } from '../sessions/sessions.ts';
import { deleteVerifications, insertVerification, takeVerification } from './store.ts';

export interface OpenRegistration {
  email: string;
  name: string;
  password: string;
}

interface Claim extends OpenRegistration {
  password_hash: string;
  now: Date;
}

const LINK_LIFE_MS = 30 * 60_000;
const REGISTRATIONS_PER_NETWORK = { limiter: 'registration_network', max: 30, windowSeconds: 3600 } as const;
const MAILS_PER_ADDRESS = { limiter: 'confirmation_mail', max: 3, windowSeconds: 3600 } as const;

/**
 * Registers whoever asks, as a guest until the address is confirmed. Known and unknown addresses get the same work and
 * the same answer; what differs is only the mail, which the owner of the address reads.
 */
export async function registerOpenly(deps: Deps, actor: Actor, request: OpenRegistration): Promise<void> {
  deps.hasher.assertRoom();
  await assertAdmissible(deps, actor, request);
  const claim = { ...request, password_hash: await deps.hasher.hash(request.password), now: deps.clock() };
  const mayMail = (await trySpend(deps, { ...MAILS_PER_ADDRESS, subject: request.email })) === undefined;
  const isNew = await transaction(deps.pool, async (tx) => {
    const guest = await findOrInsertGuest(tx, claim);
    await tell(deps, tx, actor, guest);
    if (mayMail) await mail(deps, tx, guest.user, claim);
    return guest.isNew;
  });
  deps.metrics.registrations.inc(
    isNew ? { outcome: 'success', reason: 'ok' } : { outcome: 'rejected', reason: 'address_taken' },
  );
}

async function assertAdmissible(deps: Deps, actor: Actor, { email, name, password }: OpenRegistration): Promise<void> {
  try {
    await spend(deps, { ...REGISTRATIONS_PER_NETWORK, subject: networkOf(actor.address) });
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

async function findOrInsertGuest(tx: Tx, { email, name, password_hash, now }: Claim) {
  const id = newId();
  const isNew = await insertUserIfFree(tx, { id, email, name, role: 'guest', password_hash, now });
  const user = await findUserByEmail(tx, email);
  if (!user) throw new AppError('conflict', 'The account is being deleted. Try again.');
  return { user, isNew };
}

/** A link for whoever may still confirm the address; for the owner of an account the news that somebody tried. */
async function mail({ secrets }: Deps, tx: Tx, user: User, { email, name, password_hash, now }: Claim): Promise<void> {
  if (user.role !== 'guest') {
    await enqueue(tx, 'mail.send', { template: 'address-taken', to: email, params: { name: user.name } });
    return;
  }
  const token = randomToken();
  const expires_at = new Date(now.getTime() + LINK_LIFE_MS);
  await insertVerification(tx, {
    token_hash: sha256(token),
    user_id: user.id,
    email,
    name,
    password_hash,
    now,
    expires_at,
  });
  await enqueue(
    tx,
    'mail.send',
    { template: 'verify-address', to: email, params: { name }, expires_at: expires_at.toISOString() },
    { secret: seal(secrets.mail, token, MAIL_SECRET.aad) },
  );
}

/**
 * Confirms an address with the token from the mail. The password of the registration that the token belongs to becomes
 * the account's; sessions that were opened with another one end.
 */
export function confirmAddress(deps: Deps, actor: Actor, token: string): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    const now = deps.clock();
    const claim = await takeVerification(tx, sha256(token), now);
    const user = claim && (await lockUser(tx, claim.user_id));
    if (!claim || !user || !(await confirmGuest(tx, { ...claim, now })))
      throw new AppError('auth.token_refused', 'The link is not valid any more.');
    await deleteVerifications(tx, user.id);
    const owner = { ...actor, kind: 'user' as const, user_id: user.id };
    await publish(tx, owner, 'auth.email_verified.v1', { user_id: user.id }, { target: { type: 'user', id: user.id } });
    await endSessionsOf(deps, tx, owner, user.id, 'address_confirmed');
  });
}
