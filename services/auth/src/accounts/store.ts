import { PlatformRole } from '@gatehouse/contracts/identity';
import { type Db, many, maybe, run, type Tx, violates } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { FactorMethod } from '../factors/methods.ts';

const User = z.object({
  id: z.uuid(),
  email: z.string(),
  /** The address that a visiting guest registered; null for every account and claim. */
  registered_email: z.string().nullable(),
  name: z.string(),
  role: PlatformRole,
  status: z.enum(['active', 'disabled', 'deleted']),
  password_hash: z.string().nullable(),
  email_verified_at: z.date().nullable(),
  /** Until then a registration may be confirmed, and its guest visits; null for every account. */
  confirm_by: z.date().nullable(),
  password_reset_required: z.boolean(),
  disabled_at: z.date().nullable(),
  deletion_due_at: z.date().nullable(),
  created_at: z.date(),
});
export type User = z.infer<typeof User>;

const Id = z.object({ id: z.uuid() });

/** The account or claim of a normalised address; a deleted one has none, and guests of it are not it. */
export function findUserByEmail(db: Db, email: string): Promise<User | undefined> {
  return maybe(db, User)`
    select u.id, u.email, u.registered_email, u.name, u.role, u.status, u.password_hash, u.email_verified_at,
      u.confirm_by, u.password_reset_required, u.disabled_at, u.deletion_due_at, u.created_at
    from auth.users u where u.email = ${email} and u.status <> 'deleted' and u.registered_email is null`;
}

export function findUser(db: Db, userId: string): Promise<User | undefined> {
  return maybe(db, User)`
    select u.id, u.email, u.registered_email, u.name, u.role, u.status, u.password_hash, u.email_verified_at,
      u.confirm_by, u.password_reset_required, u.disabled_at, u.deletion_due_at, u.created_at
    from auth.users u where u.id = ${userId} and u.status <> 'deleted'`;
}

const OwnAccount = z.object({
  id: z.uuid(),
  email: z.string(),
  name: z.string(),
  role: PlatformRole,
  email_verified: z.boolean(),
  password_set: z.boolean(),
  second_factors: z.array(FactorMethod),
  new_email: z.string().nullable(),
  old_confirmed: z.boolean(),
  new_confirmed: z.boolean(),
  change_expires_at: z.date().nullable(),
  created_at: z.date(),
});
export type OwnAccount = z.infer<typeof OwnAccount>;

/** What a user sees of the own account, in one round trip: it is asked for with every page that a client shows. */
export function findOwnAccount(db: Db, userId: string, now: Date): Promise<OwnAccount | undefined> {
  return maybe(db, OwnAccount)`
    select u.id, coalesce(u.registered_email, u.email) as email, u.name, u.role,
      u.email_verified_at is not null as email_verified, u.password_hash is not null as password_set,
      array(
        select f.method from auth.factors f
        where f.user_id = u.id and f.confirmed_at is not null
          and (f.method <> 'recovery' or exists (select from auth.recovery_codes r where r.user_id = u.id))
        order by f.method = 'recovery', f.confirmed_at
      ) as second_factors,
      c.new_email, c.old_confirmed_at is not null as old_confirmed, c.new_confirmed_at is not null as new_confirmed,
      c.expires_at as change_expires_at, u.created_at
    from auth.users u
    left join auth.email_changes c on c.user_id = u.id and c.expires_at > ${now}
    where u.id = ${userId} and u.status <> 'deleted'`;
}

/** Locks a user's row: whatever else changes the account or opens a session for it waits. */
export function lockUser(tx: Tx, userId: string): Promise<User | undefined> {
  return maybe(tx, User)`
    select u.id, u.email, u.registered_email, u.name, u.role, u.status, u.password_hash, u.email_verified_at,
      u.confirm_by, u.password_reset_required, u.disabled_at, u.deletion_due_at, u.created_at
    from auth.users u where u.id = ${userId} for no key update`;
}

/**
 * Whether a session has ended, seen under the lock of the user's row: a request that waited for the lock while all
 * sessions were ended must not go on.
 */
export async function hasEnded(tx: Tx, sessionId: string): Promise<boolean> {
  const ended = await maybe(tx, Id)`
    select s.id from auth.sessions s where s.id = ${sessionId} and s.ended_at is not null`;
  return ended !== undefined;
}

type NewUser = Pick<User, 'id' | 'email' | 'name' | 'role' | 'password_hash'> & { now: Date };

export async function insertUser(tx: Tx, { id, email, name, role, password_hash, now }: NewUser): Promise<void> {
  try {
    await run(tx)`
      insert into auth.users (id, email, name, role, password_hash, created_at, updated_at)
      values (${id}, ${email}, ${name}, ${role}, ${password_hash}, ${now}, ${now})`;
  } catch (error) {
    if (!violates(error, 'users_email_key')) throw error;
    throw new AppError('auth.account_taken', 'The address already has an account.', { cause: error });
  }
}

/** Inserts unless the address has an account; tells whether it did. Waits for whoever inserts the same one. */
export async function insertUserIfFree(
  tx: Tx,
  { id, email, name, role, password_hash, confirm_by, now }: NewUser & Pick<User, 'confirm_by'>,
): Promise<boolean> {
  const inserted = await run(tx)`
    insert into auth.users (id, email, name, role, password_hash, confirm_by, created_at, updated_at)
    values (${id}, ${email}, ${name}, ${role}, ${password_hash}, ${confirm_by}, ${now}, ${now})
    on conflict (email) where status <> 'deleted' do nothing`;
  return inserted === 1;
}

/** A claim may be confirmed for as long as the newest registration of its address. */
export async function extendClaim(tx: Tx, userId: string, confirm_by: Date): Promise<void> {
  await run(tx)`
    update auth.users u set confirm_by = ${confirm_by}
    where u.id = ${userId} and u.confirm_by < ${confirm_by}`;
}

export async function updateName(tx: Tx, userId: string, name: string, now: Date): Promise<void> {
  await run(tx)`update auth.users u set name = ${name}, updated_at = ${now} where u.id = ${userId}`;
}

export async function updatePasswordHash(tx: Tx, userId: string, hash: string, now: Date): Promise<void> {
  await run(tx)`update auth.users u set password_hash = ${hash}, updated_at = ${now} where u.id = ${userId}`;
}

/** A new password lifts the order to choose one. */
export async function setPassword(tx: Tx, userId: string, hash: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u set password_hash = ${hash}, password_reset_required = false, updated_at = ${now}
    where u.id = ${userId}`;
}

/** What a proof of the mailbox makes of an account: a guest becomes a user. The caller holds the row. */
export async function markVerified(tx: Tx, userId: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u
    set email_verified_at = ${now}, role = case when u.role = 'guest' then 'user' else u.role end,
      confirm_by = null, updated_at = ${now}
    where u.id = ${userId}`;
}

/** Gives the account another address, which has just been proved. */
export async function updateEmail(tx: Tx, userId: string, email: string, now: Date): Promise<void> {
  try {
    await run(tx)`
      update auth.users u set email = ${email}, email_verified_at = ${now}, updated_at = ${now} where u.id = ${userId}`;
  } catch (error) {
    if (!violates(error, 'users_email_key')) throw error;
    throw new AppError('auth.account_taken', 'The address cannot be used any more.', { cause: error });
  }
}

/** Drops registrations that nobody confirmed, for whoever has proved to own their address or is made an account of it. */
export async function discardClaims(tx: Tx, emails: string[], now: Date): Promise<void> {
  await run(tx)`
    update auth.users u
    set status = 'deleted', email = 'deleted-' || u.id || '@invalid', name = 'Deleted', password_hash = null,
      confirm_by = null, updated_at = ${now}
    where u.email = any (${emails}::text[]) and u.status <> 'deleted' and u.role = 'guest' and u.confirm_by is not null`;
}

export async function closeUser(tx: Tx, userId: string, { due, now }: { due: Date; now: Date }): Promise<void> {
  await run(tx)`
    update auth.users u set status = 'disabled', deletion_due_at = ${due}, updated_at = ${now} where u.id = ${userId}`;
}

/** A closing account is kept; one that was disabled before it closed stays so. */
export async function reopenUser(tx: Tx, userId: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u
    set status = case when u.disabled_at is null then 'active' else 'disabled' end, deletion_due_at = null,
      updated_at = ${now}
    where u.id = ${userId}`;
}

/** Organizations with other members that would be left without an owner. */
export async function listSoleOwnerships(tx: Tx, userId: string): Promise<string[]> {
  const organizations = await many(tx, Id)`select o.id from org.sole_owner_of(${userId}::uuid) as o (id)`;
  return organizations.map(({ id }) => id);
}

/** Whether the platform has an active administrator beside this one; holds all of them until the commit. */
export async function hasOtherAdmin(tx: Tx, userId: string): Promise<boolean> {
  const admins = await many(tx, Id)`
    select u.id from auth.users u where u.role = 'admin' and u.status = 'active' order by u.id for no key update`;
  return admins.some(({ id }) => id !== userId);
}
