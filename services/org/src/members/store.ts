import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import { StoredTime } from '../time.ts';

export const Membership = z.object({ user_id: z.uuid(), role: OrgRole, joined_at: z.iso.datetime() });
export type Membership = z.infer<typeof Membership>;
const Row = Membership.extend({ joined_at: StoredTime });

export const Person = z.object({ id: z.uuid(), email: z.string(), name: z.string() });
export type Person = z.infer<typeof Person>;

export function listMemberships(tx: Tx, orgId: string, after: string | undefined, limit: number) {
  return many(tx, Row)`
    select m.user_id, m.role, m.joined_at from org.members m
    where m.org_id = ${orgId} and (${after ?? null}::uuid is null or m.user_id > ${after ?? null})
    order by m.user_id
    limit ${limit}`;
}

/** Names and addresses belong to auth, which opens this one door to them. */
export function findPeople(db: Db, ids: string[]): Promise<Person[]> {
  return many(db, Person)`select u.id, u.email, u.name from auth.find_users(${ids}::uuid[]) u`;
}

export function findMembership(tx: Tx, orgId: string, userId: string) {
  return maybe(tx, Row)`
    select m.user_id, m.role, m.joined_at from org.members m where m.org_id = ${orgId} and m.user_id = ${userId}`;
}

export async function countOwners(tx: Tx, orgId: string): Promise<number> {
  const row = await one(tx, z.object({ owners: z.number() }))`
    select count(*)::integer as owners from org.members m where m.org_id = ${orgId} and m.role = 'owner'`;
  return row.owners;
}

export function updateRole(tx: Tx, orgId: string, userId: string, role: OrgRole): Promise<Membership> {
  return one(tx, Row)`
    update org.members as m set role = ${role} where m.org_id = ${orgId} and m.user_id = ${userId}
    returning m.user_id, m.role, m.joined_at`;
}

/** With it ends what is still open to the address: nobody comes back by an older invitation. */
export async function deleteMembership(tx: Tx, orgId: string, userId: string, now: Date): Promise<void> {
  await run(tx)`delete from org.members m where m.org_id = ${orgId} and m.user_id = ${userId}`;
  await run(tx)`
    update org.invitations i set status = 'cancelled', ended_at = ${now}, token_hash = null
    where i.org_id = ${orgId} and i.status = 'open'
      and i.email in (select u.email from auth.find_users(${[userId]}::uuid[]) u)`;
}
