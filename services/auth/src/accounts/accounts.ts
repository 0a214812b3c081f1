import { PlatformRole } from '@gatehouse/contracts/identity';
import { z } from 'zod';
import { StoredEmail } from '../addresses.ts';

export { accountLabel } from './labels.ts';
export {
  discardClaim,
  findUser,
  findUserByEmail,
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
