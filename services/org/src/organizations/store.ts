import type { Plan } from '@gatehouse/contracts/identity';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe, one, run, sql, type Tx, violates } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { type Organization, OrganizationRow, OwnOrganizationRow, type Status } from './organization.ts';

const columns = sql`o.id, o.name, o.slug, o.status, o.plan, o.created_at`;

/** How many organizations a user has founded; whoever asks next for the same user waits for this transaction. */
export async function countFounded(tx: Tx, userId: string, now: Date): Promise<number> {
  const row = await one(tx, z.object({ founded: z.number() }))`
    select org.count_founded(${userId}, ${now}) as founded`;
  return row.founded;
}

interface NewOrganization {
  id: string;
  name: string;
  slug: string;
  founder: string;
  now: Date;
}

/** Undefined when the short name is taken. */
export function insertOrganization(tx: Tx, { id, name, slug, founder, now }: NewOrganization) {
  return maybe(tx, OrganizationRow)`
    insert into org.organizations as o (id, name, slug, created_by, created_at, updated_at)
    values (${id}, ${name}, ${slug}, ${founder}, ${now}, ${now})
    on conflict (slug) do nothing
    returning ${columns}`;
}

export async function insertFounder(tx: Tx, orgId: string, userId: string, now: Date): Promise<void> {
  await run(tx)`
    insert into org.members (org_id, user_id, role, added_by, joined_at)
    values (${orgId}, ${userId}, 'owner', ${userId}, ${now})`;
}

export function listOrganizationsOf(db: Db, userId: string, after: string | undefined, limit: number) {
  return many(db, OwnOrganizationRow)`
    select o.id, o.name, o.slug, o.status, o.plan, o.role, o.created_at
    from org.list_organizations_of(${userId}, ${after ?? null}, ${limit}) o`;
}

export function findOrganization(tx: Tx, orgId: string) {
  return maybe(tx, OrganizationRow)`select ${columns} from org.organizations o where o.id = ${orgId}`;
}

/** Reads an organization and holds its lock until the transaction ends. */
export function lockOrganization(tx: Tx, orgId: string) {
  return maybe(tx, OrganizationRow)`
    select ${columns} from org.organizations o where o.id = ${orgId} for no key update`;
}

export function findRole(tx: Tx, orgId: string, userId: string) {
  return maybe(tx, z.object({ role: OrgRole }))`
    select m.role from org.members m where m.org_id = ${orgId} and m.user_id = ${userId}`;
}

interface Profile {
  id: string;
  name: string;
  slug: string;
  now: Date;
}

export async function updateProfile(tx: Tx, { id, name, slug, now }: Profile): Promise<Organization> {
  try {
    return await one(tx, OrganizationRow)`
      update org.organizations as o set name = ${name}, slug = ${slug}, updated_at = ${now}
      where o.id = ${id} returning ${columns}`;
  } catch (error) {
    if (!violates(error, 'organizations_slug_key')) throw error;
    throw new AppError('org.slug_taken', 'Another organization has this short name.', { cause: error });
  }
}

interface Standing {
  id: string;
  status: Status;
  plan: Plan;
  now: Date;
}

export function updateStanding(tx: Tx, { id, status, plan, now }: Standing): Promise<Organization> {
  return one(tx, OrganizationRow)`
    update org.organizations as o
    set status = ${status}, plan = ${plan}, updated_at = ${now},
      deleted_at = case when ${status} = 'deleted' then coalesce(o.deleted_at, ${now}::timestamptz) end
    where o.id = ${id} returning ${columns}`;
}
