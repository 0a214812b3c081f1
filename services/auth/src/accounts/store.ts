import { PlatformRole } from '@gatehouse/contracts/identity';
import { type Db, maybe, run, type Tx, violates } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

const User = z.object({
  id: z.uuid(),
  email: z.string(),
  name: z.string(),
  role: PlatformRole,
  status: z.enum(['active', 'disabled', 'deleted']),
  password_hash: z.string().nullable(),
  email_verified_at: z.date().nullable(),
  created_at: z.date(),
});
export type User = z.infer<typeof User>;

/** The account of a normalised address; a deleted one has none. */
export function findUserByEmail(db: Db, email: string): Promise<User | undefined> {
  return maybe(db, User)`
    select u.id, u.email, u.name, u.role, u.status, u.password_hash, u.email_verified_at, u.created_at
    from auth.users u where u.email = ${email} and u.status <> 'deleted'`;
}

export function findUser(db: Db, userId: string): Promise<User | undefined> {
  return maybe(db, User)`
    select u.id, u.email, u.name, u.role, u.status, u.password_hash, u.email_verified_at, u.created_at
    from auth.users u where u.id = ${userId} and u.status <> 'deleted'`;
}

/** Locks a user's row: whatever else changes the account or opens a session for it waits. */
export function lockUser(tx: Tx, userId: string): Promise<User | undefined> {
  return maybe(tx, User)`
    select u.id, u.email, u.name, u.role, u.status, u.password_hash, u.email_verified_at, u.created_at
    from auth.users u where u.id = ${userId} for no key update`;
}

type NewUser = Pick<User, 'id' | 'email' | 'name' | 'role'> & { password_hash: string; now: Date };

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
  { id, email, name, role, password_hash, now }: NewUser,
): Promise<boolean> {
  const inserted = await run(tx)`
    insert into auth.users (id, email, name, role, password_hash, created_at, updated_at)
    values (${id}, ${email}, ${name}, ${role}, ${password_hash}, ${now}, ${now})
    on conflict (email) where status <> 'deleted' do nothing`;
  return inserted === 1;
}

export async function updateName(tx: Tx, userId: string, name: string, now: Date): Promise<void> {
  await run(tx)`update auth.users u set name = ${name}, updated_at = ${now} where u.id = ${userId}`;
}

export async function updatePasswordHash(tx: Tx, userId: string, hash: string, now: Date): Promise<void> {
  await run(tx)`update auth.users u set password_hash = ${hash}, updated_at = ${now} where u.id = ${userId}`;
}

interface Confirmation {
  user_id: string;
  email: string;
  name: string;
  password_hash: string;
  now: Date;
}

/** Turns a guest into a user, as long as the account still has the address that was confirmed. */
export async function confirmGuest(
  tx: Tx,
  { user_id, email, name, password_hash, now }: Confirmation,
): Promise<boolean> {
  const confirmed = await run(tx)`
    update auth.users u
    set role = 'user', email_verified_at = ${now}, name = ${name}, password_hash = ${password_hash}, updated_at = ${now}
    where u.id = ${user_id} and u.email = ${email} and u.role = 'guest' and u.status = 'active'`;
  return confirmed === 1;
}
