import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { OrgRole } from '@gatehouse/contracts/permissions';
import type { OrgActor } from '@gatehouse/kit/actor';
import { assertProved } from '@gatehouse/kit/authorize';
import { randomToken, seal, sha256 } from '@gatehouse/kit/crypto';
import { orgTransaction, type Tx } from '@gatehouse/kit/db';
import { maskEmail } from '@gatehouse/kit/email';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { findPeople } from '../members/members.ts';
import { outranks } from '../members/rules.ts';
import { type Writing, writeIn } from '../organizations/writing.ts';
import { limitsOf } from '../plans/limits.ts';
import { admitsDomain, getPolicies } from '../policies/policies.ts';
import * as store from './store.ts';

export { findAccount } from './store.ts';

const LIFE_MS = 7 * 86_400_000;
const MAILS_PER_HOUR = 3;
/** How many times the plan's invitations may be made in a day, so that withdrawing them does not make room for more. */
const DAILY_FACTOR = 5;
const Position = z.tuple([z.uuid()]);

export interface Offer {
  email: string;
  role: OrgRole;
  note?: string | undefined;
}

/** Invites an address. Everything that the decision rests on is held by the organization's lock. */
export function invite(deps: Deps, actor: OrgActor, { email, role, note }: Offer): Promise<store.Invitation> {
  return deps.operations('invitation_create', () =>
    writeIn(deps, actor, 'invitations:write', async (writing) => {
      const { tx, organization } = writing;
      const now = deps.clock();
      await assertMayOffer(writing, actor, { email, role });
      await store.endLapsed(tx, organization.id, email, now);
      const token = randomToken();
      await assertRoom(writing, now);
      const invitation = await store.insertInvitation(tx, {
        id: newId(),
        org_id: organization.id,
        email,
        role,
        note: note ?? null,
        ...vouching(writing, actor),
        token_hash: sha256(token),
        now,
        expires_at: new Date(now.getTime() + LIFE_MS),
      });
      await send(deps, writing, actor, { invitation, token, now });
      await tell(tx, actor, 'org.invitation_created.v1', invitation);
      return invitation;
    }),
  );
}

/** Sends an invitation again: with a new link, the old one is dead, and for another seven days. */
export function resend(deps: Deps, actor: OrgActor, id: string): Promise<store.Invitation> {
  return deps.operations('invitation_resend', () =>
    writeIn(deps, actor, 'invitations:write', async (writing) => {
      const { tx, organization } = writing;
      const now = deps.clock();
      const known = await getInvitation(tx, organization.id, id, now);
      await assertMayOffer(writing, actor, known);
      if (known.status === 'expired') await assertRoom(writing, now);
      const token = randomToken();
      const expires_at = new Date(now.getTime() + LIFE_MS);
      const renewal = { id, ...vouching(writing, actor), token_hash: sha256(token), now, expires_at };
      const invitation = await store.renewInvitation(tx, renewal);
      if (!invitation) throw new AppError('invitation.not_valid');
      await send(deps, writing, actor, { invitation, token, now });
      await tell(tx, actor, 'org.invitation_resent.v1', invitation);
      return invitation;
    }),
  );
}

/** Takes an invitation back. Doing so again changes nothing; what was accepted or declined stays so. */
export function withdraw(deps: Deps, actor: OrgActor, id: string): Promise<void> {
  return deps.operations('invitation_withdraw', () =>
    writeIn(deps, actor, 'invitations:write', async ({ tx, organization, acting }) => {
      const now = deps.clock();
      const invitation = await getInvitation(tx, organization.id, id, now);
      if (invitation.status === 'withdrawn') return;
      if (outranks(invitation.role, acting)) throw new AppError('org.role_above_own');
      if (!(await store.withdrawInvitation(tx, id, now))) throw new AppError('invitation.not_valid');
      await tell(tx, actor, 'org.invitation_withdrawn.v1', invitation);
    }),
  );
}

export async function listInvitations(
  { pool, clock }: Deps,
  orgId: string,
  { limit, cursor, status }: Page & { status: store.InvitationStatus },
) {
  const scope = `invitations:${orgId}:${status}`;
  const before = decodeCursor(scope, Position, cursor)?.[0];
  const listing = { orgId, status, before, limit: limit + 1, now: clock() };
  const rows = await orgTransaction(pool, orgId, (tx) => store.listInvitations(tx, listing));
  return toPage(rows, limit, scope, ({ id }) => [id]);
}

async function getInvitation(tx: Tx, orgId: string, id: string, now: Date): Promise<store.Invitation> {
  const invitation = await store.findInvitation(tx, orgId, id, now);
  if (!invitation) throw new AppError('invitation.not_found', 'No such invitation.');
  return invitation;
}

/** Whoever invites now may do so: up to the own role, as owner with a fresh proof, to a domain that is admitted. */
async function assertMayOffer(
  { tx, organization, acting }: Writing,
  actor: OrgActor,
  { email, role }: Pick<Offer, 'email' | 'role'>,
): Promise<void> {
  if (outranks(role, acting)) throw new AppError('org.role_above_own');
  if (role === 'owner') assertProved({ fresh: true, secondFactor: false }, actor);
  if (!admitsDomain(await getPolicies(tx, organization.id), email)) throw new AppError('org.domain_refused');
  if (await store.isMemberAddress(tx, organization.id, email))
    throw new AppError('org.member_exists', 'The address belongs to a member.');
}

async function assertRoom({ tx, organization: { id, plan } }: Writing, now: Date): Promise<void> {
  const max = limitsOf(plan).invitations;
  const { pending, recent } = await store.countInvitations(tx, id, now);
  if (pending >= max) throw new AppError('invitation.limit_reached', `${max} invitations are open.`);
  if (recent >= max * DAILY_FACTOR)
    throw new AppError('rate_limited', `${recent} invitations were made in a day.`, {
      headers: { 'retry-after': '3600' },
    });
}

/** Whose right the invitation rests on, looked at again when it is accepted. */
const vouching = ({ acting }: Writing, { user_id }: OrgActor) => ({
  inviter_id: user_id,
  by_platform_admin: acting === 'platform_admin',
});

interface Sending {
  invitation: store.Invitation;
  token: string;
  now: Date;
}

async function send(
  { secrets }: Deps,
  { tx, organization }: Writing,
  { user_id }: OrgActor,
  { invitation: { email, role, note, expires_at }, token, now }: Sending,
): Promise<void> {
  const { sent, resets_at } = await store.countMail(tx, email, now);
  if (sent > MAILS_PER_HOUR) {
    const seconds = Math.max(1, Math.ceil((resets_at.getTime() - now.getTime()) / 1000));
    throw new AppError('rate_limited', 'The address got enough mails for an hour.', {
      headers: { 'retry-after': String(seconds) },
    });
  }
  const [inviter] = await findPeople(tx, [user_id]);
  const params = {
    organization: organization.name,
    inviter: inviter?.name ?? organization.name,
    role,
    until: expires_at,
    ...(note === null ? {} : { note }),
  };
  await enqueue(
    tx,
    'mail.send',
    { template: 'invitation', to: email, params, expires_at },
    { secret: seal(secrets.mail, token, MAIL_SECRET.aad) },
  );
}

type InvitationEvent = 'org.invitation_created.v1' | 'org.invitation_resent.v1' | 'org.invitation_withdrawn.v1';

function tell(tx: Tx, actor: OrgActor, event: InvitationEvent, { id, email, role }: store.Invitation): Promise<void> {
  const data = { invitation_id: id, email: maskEmail(email), role };
  return publish(tx, actor, event, data, { target: { type: 'invitation', id } });
}
