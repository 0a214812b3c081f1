import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe, one, sqlState, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { StoredTime } from '../time.ts';

/** An invitation as the invited user sees it. */
export const OwnInvitation = z.object({
  id: z.uuid(),
  org_id: z.uuid(),
  organization: z.string(),
  role: OrgRole,
  note: z.string().nullable(),
  inviter_id: z.uuid(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
});
const OwnRow = OwnInvitation.extend({ created_at: StoredTime, expires_at: StoredTime });

/** The address that a user has proved to have, by auth's door. */
export async function findVerifiedEmail(db: Db, userId: string): Promise<string | undefined> {
  const { email } = await one(db, z.object({ email: z.string().nullable() }))`
    select auth.find_verified_email(${userId}) as email`;
  return email ?? undefined;
}

interface Listing {
  email: string;
  after: string | undefined;
  limit: number;
  now: Date;
}

export function listInvitationsTo(db: Db, { email, after, limit, now }: Listing) {
  return many(db, OwnRow)`
    select i.id, i.org_id, i.org_name as organization, i.role, i.note, i.inviter_id, i.created_at, i.expires_at
    from org.list_invitations_to(${email}, ${now}, ${after ?? null}, ${limit}) i`;
}

const Offer = z.object({
  id: z.uuid(),
  organization: z.string(),
  email: z.string(),
  role: OrgRole,
  expires_at: StoredTime,
});

/** The open invitation that a token belongs to. */
export function findByToken(db: Db, tokenHash: Buffer, now: Date) {
  return maybe(db, Offer)`
    select i.id, i.org_name as organization, i.email, i.role, i.expires_at
    from org.find_invitation(${tokenHash}, ${now}) i`;
}

/** Whether the invitation is or was one to this address. */
export async function isInvited(db: Db, id: string, email: string): Promise<boolean> {
  const { invited } = await one(db, z.object({ invited: z.boolean() }))`
    select org.is_invited(${id}, ${email}) as invited`;
  return invited;
}

const Admission = z.object({ org_id: z.uuid(), role: OrgRole });

interface Acceptance {
  id: string;
  /** When the link is what is accepted: it counts only as long as it is the current one. */
  tokenHash: Buffer | undefined;
  userId: string;
  email: string;
  now: Date;
}

const REFUSALS = {
  GH400: 'invitation.not_valid',
  GH403: 'invitation.void',
  GH409: 'org.member_limit_reached',
  GH422: 'org.domain_refused',
  GH423: 'org.member_exists',
} as const;

/** Makes the user a member, once, if everything that the invitation rests on still stands. */
export async function admitInvited(tx: Tx, { id, tokenHash, userId, email, now }: Acceptance) {
  try {
    return await one(tx, Admission)`
      select a.org_id, a.role from org.admit_invited(${id}, ${tokenHash ?? null}, ${userId}, ${email}, ${now}) a`;
  } catch (error) {
    const code = REFUSALS[sqlState(error) as keyof typeof REFUSALS];
    if (!code) throw error;
    throw new AppError(code, undefined, { cause: error });
  }
}

/** Undefined when it is not open any more. */
export function declineInvitation(tx: Tx, id: string, email: string, now: Date) {
  return maybe(tx, Admission)`
    select d.org_id, d.role from org.decline_invitation(${id}, ${email}, ${now}) d`;
}
