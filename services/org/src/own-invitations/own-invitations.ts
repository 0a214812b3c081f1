import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { sha256 } from '@gatehouse/kit/crypto';
import { transaction } from '@gatehouse/kit/db';
import { maskEmail } from '@gatehouse/kit/email';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { findAccount } from '../invitations/invitations.ts';
import * as store from './store.ts';

const Position = z.tuple([z.uuid()]);

/** The open invitations to the address that the user has proved to have; without one there are none. */
export async function listOwnInvitations({ pool, clock }: Deps, { user_id }: UserActor, { limit, cursor }: Page) {
  const scope = `invitations-to:${user_id}`;
  const after = decodeCursor(scope, Position, cursor)?.[0];
  const email = await store.findVerifiedEmail(pool, user_id);
  const listing = { after, limit: limit + 1, now: clock() };
  const rows = email ? await store.listInvitationsTo(pool, { email, ...listing }) : [];
  return toPage(rows, limit, scope, ({ id }) => [id]);
}

/** What the holder of a link may know before deciding. Whatever is wrong with the token, the answer is one. */
export async function previewInvitation({ pool, clock }: Deps, token: string) {
  const offer = await store.findByToken(pool, sha256(token), clock());
  if (!offer) throw new AppError('invitation.not_valid');
  const account = await findAccount(pool, offer.email);
  return {
    organization: offer.organization,
    role: offer.role,
    email: maskEmail(offer.email),
    account_needed: account === undefined || account.role === 'guest',
    expires_at: offer.expires_at,
  };
}

/** By the link of the mail. Who is signed in must be who was invited, by an address that is proved. */
export function acceptByToken(deps: Deps, actor: UserActor, token: string) {
  return accepted(deps, actor, async () => {
    const email = await getVerifiedEmail(deps, actor);
    const tokenHash = sha256(token);
    const offer = await store.findByToken(deps.pool, tokenHash, deps.clock());
    if (!offer) throw new AppError('invitation.not_valid');
    if (offer.email !== email)
      throw new AppError('invitation.other_address', 'Sign in with the address that was invited.');
    return { id: offer.id, tokenHash, email };
  });
}

/** From the user's own list: the proved address is proof enough. */
export function acceptById(deps: Deps, actor: UserActor, id: string) {
  return accepted(deps, actor, async () => ({ id, tokenHash: undefined, email: await getInvited(deps, actor, id) }));
}

interface Claim {
  id: string;
  tokenHash: Buffer | undefined;
  email: string;
}

function accepted(deps: Deps, actor: UserActor, claim: () => Promise<Claim>) {
  return deps.operations('invitation_accept', async () => {
    let id: string | undefined;
    try {
      const claimed = await claim();
      id = claimed.id;
      return await accept(deps, actor, claimed);
    } catch (error) {
      await tellRefused(deps, actor, id, error);
      throw error;
    }
  });
}

function accept({ pool, clock }: Deps, actor: UserActor, { id, tokenHash, email }: Claim) {
  const userId = actor.user_id;
  return transaction(pool, async (tx) => {
    const { org_id, role } = await store.admitInvited(tx, { id, tokenHash, userId, email, now: clock() });
    const data = { user_id: userId, role };
    const invitation = { org_id, target: { type: 'invitation', id } };
    await publish(tx, actor, 'org.invitation_accepted.v1', { invitation_id: id, ...data }, invitation);
    await publish(tx, actor, 'org.member_added.v1', data, { org_id, target: { type: 'user', id: userId } });
    return { org_id, role };
  });
}

/** Says no, for good: who changes their mind needs another invitation. */
export function declineInvitation(deps: Deps, actor: UserActor, id: string): Promise<void> {
  return deps.operations('invitation_decline', async () => {
    const email = await getInvited(deps, actor, id);
    await transaction(deps.pool, async (tx) => {
      const declined = await store.declineInvitation(tx, id, email, deps.clock());
      if (!declined) throw new AppError('invitation.not_valid');
      const { org_id, role } = declined;
      const options = { org_id, target: { type: 'invitation', id } };
      await publish(tx, actor, 'org.invitation_declined.v1', { invitation_id: id, role }, options);
    });
  });
}

async function getVerifiedEmail({ pool }: Deps, { user_id }: UserActor): Promise<string> {
  const email = await store.findVerifiedEmail(pool, user_id);
  if (!email) throw new AppError('access.denied', 'Confirm your e-mail address first.');
  return email;
}

/** The user's address, when the invitation is to it. To everybody else there is no such invitation. */
async function getInvited(deps: Deps, actor: UserActor, id: string): Promise<string> {
  const email = await store.findVerifiedEmail(deps.pool, actor.user_id);
  if (!email || !(await store.isInvited(deps.pool, id, email)))
    throw new AppError('invitation.not_found', 'No such invitation.');
  return email;
}

/** Records what was refused; a 403 is recorded by the kit, for every endpoint alike. */
async function tellRefused({ pool }: Deps, actor: Actor, id: string | undefined, error: unknown): Promise<void> {
  if (!(error instanceof AppError) || error.status === 403 || error.status === 404 || error.status >= 500) return;
  const data = { reason: error.code, ...(id ? { invitation_id: id } : {}) };
  const target = id ? { target: { type: 'invitation', id } } : {};
  await publish(pool, actor, 'org.invitation_refused.v1', data, { outcome: 'denied', ...target });
}
