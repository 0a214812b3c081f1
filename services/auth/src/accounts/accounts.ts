import { PlatformRole } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import { findUser, lockUser, type User, updateName } from './store.ts';

export { accountLabel } from './labels.ts';
export {
  confirmGuest,
  findUserByEmail,
  insertUser,
  insertUserIfFree,
  lockUser,
  type User,
  updatePasswordHash,
} from './store.ts';

/** What everyone may know of a user who knows them at all. */
export const Profile = z.object({ id: z.uuid(), email: z.string(), name: z.string(), role: PlatformRole });
export type Profile = z.infer<typeof Profile>;

export const Me = Profile.extend({
  email_verified: z.boolean(),
  created_at: StoredTime,
});
type Me = z.input<typeof Me>;

export async function getMe({ pool }: Pick<Deps, 'pool'>, actor: UserActor): Promise<Me> {
  const user = await findUser(pool, actor.user_id);
  // The gateway lets nobody through whose account is gone; within its second of memory it may.
  if (!user) throw new AppError('auth.session_ended');
  return toMe(user);
}

export function rename({ pool, clock }: Pick<Deps, 'pool' | 'clock'>, actor: UserActor, name: string): Promise<Me> {
  return transaction(pool, async (tx) => {
    const user = await lockUser(tx, actor.user_id);
    if (user?.status !== 'active') throw new AppError('auth.session_ended');
    if (user.name !== name) {
      await updateName(tx, user.id, name, clock());
      await publish(
        tx,
        actor,
        'auth.profile_changed.v1',
        { user_id: user.id, old: { name: user.name }, new: { name } },
        { target: { type: 'user', id: user.id } },
      );
    }
    return toMe({ ...user, name });
  });
}

function toMe({ id, email, name, role, email_verified_at, created_at }: User): Me {
  return { id, email, name, role, email_verified: email_verified_at !== null, created_at };
}
