import { PlatformRole } from '@gatehouse/contracts/identity';
import { type Db, type Fragment, join, many, maybe, run, sql, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

export const AccountStatus = z.enum(['active', 'disabled', 'closing', 'deleted']);
export type AccountStatus = z.infer<typeof AccountStatus>;

const Row = z.object({
  id: z.uuid(),
  email: z.string(),
  name: z.string(),
  role: PlatformRole,
  status: AccountStatus,
  email_verified: z.boolean(),
  created_at: z.date(),
});
export type UserRow = z.infer<typeof Row>;

const Detail = Row.extend({
  disabled_at: z.date().nullable(),
  disabled_reason: z.string().nullable(),
  deletion_due_at: z.date().nullable(),
  password_reset_required: z.boolean(),
  has_password: z.boolean(),
  sessions: z.number(),
  last_used_at: z.date().nullable(),
});
export type UserDetail = z.infer<typeof Detail>;

const STATUS = sql`case when u.status = 'disabled' and u.deletion_due_at is not null then 'closing' else u.status end`;

// After every character that text may hold.
const LAST = '\u{10ffff}';

export interface Search {
  /** The beginning of an address or a name, in lower case. */
  prefix: string | undefined;
  status: AccountStatus | undefined;
  role: PlatformRole | undefined;
  limit: number;
  before: { created_at: Date; id: string } | undefined;
}

/**
 * Users by the beginning of their address or name, newest first. The prefix is a range and no pattern, so that every
 * character in it stands for itself and an index serves it.
 */
export function searchUsers(db: Db, { prefix, status, role, limit, before }: Search): Promise<UserRow[]> {
  const conditions: Fragment[] = [sql`true`];
  // Guests are as many as anybody likes, so that only who asks for them sees them.
  if (role !== 'guest') conditions.push(sql`u.registered_email is null`);
  if (prefix !== undefined) {
    const end = `${prefix}${LAST}`;
    conditions.push(sql`(
      (u.email operator(pg_catalog.~>=~) ${prefix} and u.email operator(pg_catalog.~<~) ${end})
      or (u.registered_email operator(pg_catalog.~>=~) ${prefix} and u.registered_email operator(pg_catalog.~<~) ${end})
      or (lower(u.name) operator(pg_catalog.~>=~) ${prefix} and lower(u.name) operator(pg_catalog.~<~) ${end}))`);
  }
  if (status !== undefined) conditions.push(statusIs(status));
  if (role !== undefined) conditions.push(sql`u.role = ${role}`);
  if (before) conditions.push(sql`(u.created_at, u.id) < (${before.created_at}::timestamptz, ${before.id}::uuid)`);
  return many(db, Row)`
    select u.id, coalesce(u.registered_email, u.email) as email, u.name, u.role, ${STATUS} as status,
      u.email_verified_at is not null as email_verified, u.created_at
    from auth.users u
    where ${join(conditions, sql` and `)}
    order by u.created_at desc, u.id desc
    limit ${limit}`;
}

function statusIs(status: AccountStatus): Fragment {
  if (status === 'closing') return sql`u.status = 'disabled' and u.deletion_due_at is not null`;
  if (status === 'disabled') return sql`u.status = 'disabled' and u.deletion_due_at is null`;
  return sql`u.status = ${status}`;
}

/** One user, deleted ones too, with what counts for an administrator. */
export function findUserDetail(db: Db, userId: string, now: Date): Promise<UserDetail | undefined> {
  return maybe(db, Detail)`
    select u.id, coalesce(u.registered_email, u.email) as email, u.name, u.role, ${STATUS} as status,
      u.email_verified_at is not null as email_verified, u.created_at, u.disabled_at, u.disabled_reason,
      u.deletion_due_at, u.password_reset_required,
      u.password_hash is not null as has_password, coalesce(s.live, 0)::integer as sessions, s.last_used_at
    from auth.users u
    left join lateral (
      select count(*) filter (where s.expires_at > ${now} and s.idle_expires_at > ${now}) as live,
        max(s.last_used_at) as last_used_at
      from auth.sessions s where s.user_id = u.id and s.ended_at is null
    ) s on true
    where u.id = ${userId}`;
}

/** Locks every active administrator: of two who change one another, the second sees what the first has left. */
export async function lockAdmins(tx: Tx): Promise<string[]> {
  const admins = await many(tx, z.object({ id: z.uuid() }))`
    select u.id from auth.users u where u.role = 'admin' and u.status = 'active' order by u.id for no key update`;
  return admins.map(({ id }) => id);
}

export async function disableUser(tx: Tx, userId: string, reason: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u
    set status = 'disabled', disabled_at = ${now}, disabled_reason = ${reason}, updated_at = ${now}
    where u.id = ${userId}`;
}

/** An account that is closing as well goes on closing. */
export async function enableUser(tx: Tx, userId: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u
    set status = case when u.deletion_due_at is null then 'active' else 'disabled' end,
      disabled_at = null, disabled_reason = null, updated_at = ${now}
    where u.id = ${userId}`;
}

export async function updateRole(tx: Tx, userId: string, role: PlatformRole, now: Date): Promise<void> {
  await run(tx)`update auth.users u set role = ${role}, updated_at = ${now} where u.id = ${userId}`;
}

export async function requireReset(tx: Tx, userId: string, now: Date): Promise<void> {
  await run(tx)`update auth.users u set password_reset_required = true, updated_at = ${now} where u.id = ${userId}`;
}

const Bootstrap = z.object({
  completed_at: z.date(),
  user_id: z.uuid(),
  email: z.string().nullable(),
  name: z.string().nullable(),
  org_id: z.uuid(),
});

export function findBootstrap(db: Db) {
  return maybe(db, Bootstrap)`
    select b.completed_at, b.user_id, u.email, u.name, b.org_id
    from auth.bootstrap b left join auth.users u on u.id = b.user_id and u.status <> 'deleted'
    where b.id = 1`;
}
