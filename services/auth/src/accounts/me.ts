import { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Db, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { pendingEmailChange } from '../email-change/email-change.ts';
import { listFactors } from '../factors/factors.ts';
import { FactorMethod } from '../factors/methods.ts';
import { StoredTime } from '../time.ts';
import { findUser, lockOwnAccount, ownEmail, Profile, type User, updateName } from './accounts.ts';

export const Me = Profile.extend({
  email_verified: z.boolean(),
  /** Whether the account can be signed in to with a password. */
  password_set: z.boolean(),
  /** How this session was authenticated (RFC 8176), and when last. */
  amr: z.array(AuthenticationMethod),
  authenticated_at: StoredTime,
  /** What can be asked for beside the password; /api/auth/factors tells more of each. */
  second_factors: z.array(FactorMethod),
  /** A change of the address that still waits, its target masked. */
  pending_email: z
    .object({
      new_email: z.string(),
      old_confirmed: z.boolean(),
      new_confirmed: z.boolean(),
      expires_at: StoredTime,
    })
    .nullable(),
  created_at: StoredTime,
});
type Me = z.input<typeof Me>;

type MeDeps = Pick<Deps, 'pool' | 'clock'>;

export async function getMe(deps: MeDeps, actor: UserActor): Promise<Me> {
  const user = await findUser(deps.pool, actor.user_id);
  // The gateway lets nobody through whose account is gone; within its second of memory it may.
  if (!user) throw new AppError('auth.session_ended');
  return toMe(deps, deps.pool, actor, user);
}

export function rename(deps: MeDeps, actor: UserActor, name: string): Promise<Me> {
  return transaction(deps.pool, async (tx) => {
    const user = await lockOwnAccount(tx, actor);
    if (user.name !== name) {
      await updateName(tx, user.id, name, deps.clock());
      await publish(
        tx,
        actor,
        'auth.profile_changed.v1',
        { user_id: user.id, old: { name: user.name }, new: { name } },
        { target: { type: 'user', id: user.id } },
      );
    }
    return toMe(deps, tx, actor, { ...user, name });
  });
}

async function toMe(deps: MeDeps, db: Db, actor: UserActor, user: User): Promise<Me> {
  const { id, name, role, created_at } = user;
  return {
    id,
    email: ownEmail(user),
    name,
    role,
    email_verified: user.email_verified_at !== null,
    password_set: user.password_hash !== null,
    amr: actor.amr ?? [],
    authenticated_at: new Date((actor.auth_time ?? 0) * 1000),
    second_factors: (await listFactors(db, id)).map(({ method }) => method),
    pending_email: await pendingEmailChange(deps, db, user),
    created_at,
  };
}
