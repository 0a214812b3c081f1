import { PlatformRole } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { StoredEmail } from '../addresses.ts';
import { hasEnded, lockUser, type User } from './store.ts';

export { accountLabel } from './labels.ts';
export {
  discardClaims,
  extendClaim,
  findOwnAccount,
  findUser,
  findUserByEmail,
  hasEnded,
  insertUser,
  insertUserIfFree,
  lockUser,
  markVerified,
  setPassword,
  type User,
  updateEmail,
  updateName,
  updatePasswordHash,
} from './store.ts';

/** What everyone may know of a user who knows them at all. */
export const Profile = z.object({ id: z.uuid(), email: StoredEmail, name: z.string(), role: PlatformRole });
export type Profile = z.infer<typeof Profile>;

/** The address that a user knows as the own one: for a guest what was registered. Not for mails, which guests get none of. */
export function ownEmail({ email, registered_email }: Pick<User, 'email' | 'registered_email'>): string {
  return registered_email ?? email;
}

/** Locks the own account of who asks; throws `auth.session_ended` when it, or the session, is not in use any more. */
export async function lockOwnAccount(tx: Tx, { user_id, session_id }: UserActor): Promise<User> {
  const user = await lockUser(tx, user_id);
  if (user?.status !== 'active' || (await hasEnded(tx, session_id))) throw new AppError('auth.session_ended');
  return user;
}
