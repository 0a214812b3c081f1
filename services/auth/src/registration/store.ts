import type { ErrorCode } from '@gatehouse/contracts/errors';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe, one, run, sqlState, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

interface Admission {
  actor_id: string;
  platform_admin: boolean;
  org_id: string;
}

const Answer = z.object({ answer: z.enum(['ok', 'denied', 'not_found']) });

/** Asks org's door whether the actor may admit users to the organization. */
export async function mayAdmit(db: Db, { actor_id, platform_admin, org_id }: Admission) {
  const { answer } = await one(db, Answer)`
    select org.may_admit(${actor_id}::uuid, ${platform_admin}::boolean, ${org_id}::uuid) as answer`;
  return answer;
}

const Policies = z.object({ second_factor_required: z.boolean(), session_max_seconds: z.number().nullable() });

/** What the organization asks of whoever acts for it; nothing where there is none. */
export async function findPolicies(db: Db, orgId: string) {
  const policies = await maybe(db, Policies)`
    select p.second_factor_required, p.session_max_seconds from org.policies_of(${orgId}::uuid) p`;
  return policies ?? { second_factor_required: false, session_max_seconds: null };
}

/** The door of org: the membership, in this transaction, if the actor may still give it. */
export async function admitUser(tx: Tx, { actor_id, platform_admin, org_id }: Admission, userId: string, role: string) {
  try {
    await run(tx)`
      select org.admit_user(${actor_id}::uuid, ${platform_admin}::boolean, ${org_id}::uuid, ${userId}::uuid, ${role})`;
  } catch (error) {
    const state = sqlState(error);
    if (state === 'GH404') throw new AppError('org.not_found', 'No such organization.', { cause: error });
    if (state === 'GH403') throw new AppError('access.denied', undefined, { cause: error });
    if (state === 'GH409') throw new AppError('org.member_limit_reached', undefined, { cause: error });
    if (state === 'GH422') throw new AppError('org.domain_refused', undefined, { cause: error });
    throw error;
  }
}

const Verification = z.object({
  user_id: z.uuid(),
  email: z.string(),
  name: z.string(),
  password_hash: z.string(),
});
type Verification = z.infer<typeof Verification>;

interface NewVerification extends Verification {
  token_hash: Buffer;
  now: Date;
  expires_at: Date;
}

export async function insertVerification(tx: Tx, verification: NewVerification): Promise<void> {
  const { token_hash, user_id, email, name, password_hash, now, expires_at } = verification;
  await run(tx)`
    insert into auth.email_verifications (token_hash, user_id, email, name, password_hash, created_at, expires_at)
    values (${token_hash}, ${user_id}, ${email}, ${name}, ${password_hash}, ${now}, ${expires_at})`;
}

/** Whose registration a token confirms; it stays good. */
export async function findVerification(tx: Tx, tokenHash: Buffer, now: Date): Promise<string | undefined> {
  const row = await maybe(tx, z.object({ user_id: z.uuid() }))`
    select e.user_id from auth.email_verifications e where e.token_hash = ${tokenHash} and e.expires_at > ${now}`;
  return row?.user_id;
}

/** Uses a token up: of many at one instant, one gets the row. */
export function takeVerification(tx: Tx, tokenHash: Buffer, now: Date): Promise<Verification | undefined> {
  return maybe(tx, Verification)`
    delete from auth.email_verifications e
    where e.token_hash = ${tokenHash} and e.expires_at > ${now}
    returning e.user_id, e.email, e.name, e.password_hash`;
}

const Registration = z.object({ name: z.string(), password_hash: z.string() });
type Registration = z.infer<typeof Registration>;

/** What was registered for an address that nobody has confirmed: two at most, which is enough to know that it is disputed. */
export function listRegistrations(tx: Tx, userId: string): Promise<Registration[]> {
  return many(tx, Registration)`
    select distinct on (e.password_hash) e.name, e.password_hash
    from auth.email_verifications e where e.user_id = ${userId}
    order by e.password_hash
    limit 2`;
}

/** Makes a registration's name and password the account's. */
export async function adoptRegistration(
  tx: Tx,
  userId: string,
  { name, password_hash, now }: Registration & { now: Date },
): Promise<void> {
  await run(tx)`
    update auth.users u set name = ${name}, password_hash = ${password_hash}, updated_at = ${now}
    where u.id = ${userId}`;
}

const Invitation = z.object({ id: z.uuid(), org_id: z.uuid(), org_name: z.string(), email: z.string() });
export type Invitation = z.infer<typeof Invitation>;

/** The door of org: the open invitation of a token. */
export function findInvitation(db: Db, tokenHash: Buffer, now: Date): Promise<Invitation | undefined> {
  return maybe(db, Invitation)`
    select i.id, i.org_id, i.org_name, i.email from org.find_invitation(${tokenHash}::bytea, ${now}::timestamptz) i`;
}

interface Acceptance {
  tokenHash: Buffer;
  user_id: string;
  email: string;
  now: Date;
}

const Membership = z.object({ org_id: z.uuid(), role: OrgRole });

/** The door of org: uses the invitation up and makes the user a member, in this transaction. */
export async function acceptInvitation(tx: Tx, { tokenHash, user_id, email, now }: Acceptance) {
  try {
    return await one(tx, Membership)`
      select a.org_id, a.role
      from org.accept_invitation(${tokenHash}::bytea, ${user_id}::uuid, ${email}, ${now}::timestamptz) a`;
  } catch (error) {
    const state = sqlState(error);
    const code = state && REFUSALS[state];
    if (code) throw new AppError(code, undefined, { cause: error });
    throw error;
  }
}

const REFUSALS: Partial<Record<string, ErrorCode>> = {
  GH400: 'invitation.not_valid',
  GH403: 'invitation.void',
  GH409: 'org.member_limit_reached',
  GH422: 'org.domain_refused',
};
