import type { Actor } from '@gatehouse/kit/actor';
import { sha256 } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, findUserByEmail, insertUserIfFree, lockUser, markVerified } from '../accounts/accounts.ts';
import { cancelCapabilities } from '../capabilities/capabilities.ts';
import type { Deps } from '../deps.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { assertStrong } from '../passwords/passwords.ts';
import { spendRegistration } from './open.ts';
import { acceptInvitation, adoptRegistration, findInvitation, type Invitation } from './store.ts';

export interface InvitedRegistration {
  invitation_token: string;
  name: string;
  password: string;
}

/**
 * Makes an account with the address of an invitation, confirmed: the token came by mail to it. Account and membership
 * exist together or not at all. Only who holds the token, and so the mailbox, is told that the address has an account.
 */
export async function registerInvited(deps: Deps, actor: Actor, request: InvitedRegistration) {
  const tokenHash = sha256(request.invitation_token);
  let invitation: Invitation | undefined;
  try {
    deps.hasher.assertRoom();
    await spendRegistration(deps, actor);
    invitation = await findInvitation(deps.pool, tokenHash, deps.clock());
    if (!invitation) throw new AppError('invitation.not_valid');
    const { id: invitation_id, email, org_name } = invitation;
    assertStrong(deps, request.password, [email, request.name, org_name]);
    const password_hash = await deps.hasher.hash(request.password);
    const account = { email, name: request.name, password_hash };
    const user = await transaction(deps.pool, (tx) =>
      makeMember(deps, tx, actor, { tokenHash, account, invitation_id }),
    );
    deps.metrics.registrations.inc({ outcome: 'success', reason: 'ok' });
    return { user };
  } catch (error) {
    await tellRefused(deps, actor, invitation, error);
    throw error;
  }
}

interface Account {
  email: string;
  name: string;
  password_hash: string;
}

async function makeMember(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  { tokenHash, account, invitation_id }: { tokenHash: Buffer; account: Account; invitation_id: string },
) {
  const now = deps.clock();
  const { email, name } = account;
  const id = await makeUser(deps, tx, actor, account);
  await endGuestsOf(deps, tx, actor, email);
  const { org_id, role } = await acceptInvitation(tx, { tokenHash, user_id: id, email, now });
  const owner = { ...actor, kind: 'user' as const, user_id: id, role: 'user' as const };
  const options = { org_id, target: { type: 'user', id } };
  await publish(tx, owner, 'auth.user_registered.v1', { user_id: id, mode: 'invite', role: 'user' }, options);
  const accepted = { invitation_id, user_id: id, role };
  const target = { type: 'invitation', id: invitation_id };
  await publish(tx, owner, 'org.invitation_accepted.v1', accepted, { org_id, target });
  await publish(tx, owner, 'org.member_added.v1', { user_id: id, role }, options);
  return { id, email, name, role, org_id };
}

/** A registration of the address that nobody confirmed is taken over: here is who owns the mailbox. */
async function makeUser(deps: Deps, tx: Tx, actor: Actor, { email, name, password_hash }: Account): Promise<string> {
  const now = deps.clock();
  const id = newId();
  const fresh = { id, email, name, role: 'user' as const, password_hash, confirm_by: null, now };
  if (await insertUserIfFree(tx, fresh)) {
    await markVerified(tx, id, now);
    return id;
  }
  const found = await findUserByEmail(tx, email);
  const claim = found && (await lockUser(tx, found.id));
  if (!claim?.confirm_by || claim.status !== 'active' || claim.email !== email)
    throw new AppError('auth.account_taken', 'The address has an account. Sign in with it to accept the invitation.');
  await adoptRegistration(tx, claim.id, { name, password_hash, now });
  await markVerified(tx, claim.id, now);
  await cancelCapabilities(deps, tx, actor, claim, { reason: 'address_confirmed', keepInvitations: true });
  return claim.id;
}

const REASONS = {
  'auth.account_taken': 'address_taken',
  'invitation.not_valid': 'invitation_not_valid',
  'invitation.void': 'invitation_not_valid',
  'org.domain_refused': 'domain_refused',
  'org.member_limit_reached': 'no_place',
  rate_limited: 'throttled',
  'request.invalid': 'password_weak',
} as const;

async function tellRefused(deps: Deps, actor: Actor, invitation: Invitation | undefined, error: unknown) {
  const code = error instanceof AppError ? (error.code as keyof typeof REASONS) : undefined;
  const reason = code && REASONS[code];
  if (!reason) return;
  deps.metrics.registrations.inc({ outcome: 'rejected', reason });
  const refused = { account: accountLabel(deps, invitation?.email ?? ''), reason };
  const org_id = invitation?.org_id ?? null;
  await publish(deps.pool, actor, 'auth.registration_refused.v1', refused, { org_id, outcome: 'denied' });
}
