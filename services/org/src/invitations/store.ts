import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe, one, run, sql, type Tx, violates } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { StoredTime } from '../time.ts';

const Time = z.iso.datetime();

/** `expired` is an open invitation past its time, and what took the place of one. */
export const InvitationStatus = z.enum(['pending', 'accepted', 'declined', 'withdrawn', 'expired', 'cancelled']);
export type InvitationStatus = z.infer<typeof InvitationStatus>;

/** An invitation as the organization sees it: never its token. */
export const Invitation = z.object({
  id: z.uuid(),
  email: z.email({ pattern: z.regexes.html5Email }),
  role: OrgRole,
  note: z.string().nullable(),
  status: InvitationStatus,
  inviter_id: z.uuid(),
  created_at: Time,
  sent_at: Time,
  expires_at: Time,
  ended_at: Time.nullable(),
  accepted_by: z.uuid().nullable(),
});
export type Invitation = z.infer<typeof Invitation>;

const Row = Invitation.extend({
  created_at: StoredTime,
  sent_at: StoredTime,
  expires_at: StoredTime,
  ended_at: StoredTime.nullable(),
});

const columns = (now: Date) => sql`i.id, i.email, i.role, i.note, ${statusAt(now)} as status, i.inviter_id,
  i.created_at, i.sent_at, i.expires_at, i.ended_at, i.accepted_by`;
const statusAt = (now: Date) => sql`case when i.status <> 'open' then i.status
  when i.expires_at > ${now}::timestamptz then 'pending' else 'expired' end`;

interface Listing {
  orgId: string;
  status: InvitationStatus;
  before: string | undefined;
  limit: number;
  now: Date;
}

/** Newest first. */
export function listInvitations(tx: Tx, { orgId, status, before, limit, now }: Listing) {
  return many(tx, Row)`
    select ${columns(now)} from org.invitations i
    where i.org_id = ${orgId} and ${statusAt(now)} = ${status}
      and (${before ?? null}::uuid is null or i.id < ${before ?? null})
    order by i.id desc
    limit ${limit}`;
}

export function findInvitation(tx: Tx, orgId: string, id: string, now: Date) {
  return maybe(tx, Row)`
    select ${columns(now)} from org.invitations i where i.org_id = ${orgId} and i.id = ${id}`;
}

/** Frees the address of an open invitation past its time. */
export async function endLapsed(tx: Tx, orgId: string, email: string, now: Date): Promise<void> {
  await run(tx)`
    update org.invitations i set status = 'expired', ended_at = i.expires_at, token_hash = null
    where i.org_id = ${orgId} and i.email = ${email} and i.status = 'open' and i.expires_at <= ${now}`;
}

/** How many are pending, and how many were made in the last day. */
export function countInvitations(tx: Tx, orgId: string, now: Date) {
  return one(tx, z.object({ pending: z.number(), recent: z.number() }))`
    select count(*) filter (where i.status = 'open' and i.expires_at > ${now})::integer as pending,
      count(*) filter (where i.created_at > ${now}::timestamptz - interval '24 hours')::integer as recent
    from org.invitations i where i.org_id = ${orgId}`;
}

interface NewInvitation {
  id: string;
  org_id: string;
  email: string;
  role: OrgRole;
  note: string | null;
  inviter_id: string;
  by_platform_admin: boolean;
  token_hash: Buffer;
  now: Date;
  expires_at: Date;
}

export async function insertInvitation(tx: Tx, one_: NewInvitation): Promise<Invitation> {
  const { id, org_id, email, role, note, inviter_id, by_platform_admin, token_hash, now, expires_at } = one_;
  try {
    return await one(tx, Row)`
      insert into org.invitations as i (id, org_id, email, role, note, inviter_id, by_platform_admin, token_hash,
                                        created_at, sent_at, expires_at)
      values (${id}, ${org_id}, ${email}, ${role}, ${note}, ${inviter_id}, ${by_platform_admin}, ${token_hash},
              ${now}, ${now}, ${expires_at})
      returning ${columns(now)}`;
  } catch (error) {
    if (!violates(error, 'invitations_open_key')) throw error;
    throw new AppError('invitation.pending', 'The address has an open invitation; resend or withdraw it.', {
      cause: error,
    });
  }
}

type Renewal = Pick<NewInvitation, 'id' | 'inviter_id' | 'by_platform_admin' | 'token_hash' | 'now' | 'expires_at'>;

/** Gives an open invitation a new token and a new term; whoever sends it again vouches for it. Undefined: ended. */
export function renewInvitation(
  tx: Tx,
  { id, inviter_id, by_platform_admin, token_hash, now, expires_at }: Renewal,
): Promise<Invitation | undefined> {
  return maybe(tx, Row)`
    update org.invitations as i
    set token_hash = ${token_hash}, sent_at = ${now}, expires_at = ${expires_at}, inviter_id = ${inviter_id},
      by_platform_admin = ${by_platform_admin}
    where i.id = ${id} and i.status = 'open'
    returning ${columns(now)}`;
}

/** Whether there was an open one to withdraw. */
export async function withdrawInvitation(tx: Tx, id: string, now: Date): Promise<boolean> {
  const withdrawn = await run(tx)`
    update org.invitations i set status = 'withdrawn', ended_at = ${now}, token_hash = null
    where i.id = ${id} and i.status = 'open'`;
  return withdrawn === 1;
}

const Mails = z.object({ sent: z.number(), resets_at: z.date() });

/** Counts a mail to the address; the answer tells how many that makes in the current hour, over all organizations. */
export function countMail(tx: Tx, email: string, now: Date) {
  return one(tx, Mails)`select c.sent, c.resets_at from org.count_invitation_mail(${email}, ${now}) c`;
}

/** One statement whether the address has an account or not: who invites learns nothing from the time it takes. */
export async function isMemberAddress(tx: Tx, orgId: string, email: string): Promise<boolean> {
  const { member } = await one(tx, z.object({ member: z.boolean() }))`
    select exists (
      select 1 from auth.find_account(${email}) a join org.members m on m.user_id = a.id and m.org_id = ${orgId}
    ) as member`;
  return member;
}

/** The account of an address, by auth's door. */
export function findAccount(db: Db, email: string) {
  return maybe(db, z.object({ id: z.uuid(), role: z.enum(['admin', 'user', 'guest']) }))`
    select a.id, a.role from auth.find_account(${email}) a`;
}
