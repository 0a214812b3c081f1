import { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Db, transaction } from '@gatehouse/kit/db';
import { maskEmail } from '@gatehouse/kit/email';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { FactorMethod } from '../factors/methods.ts';
import { StoredTime } from '../time.ts';
import { findOwnAccount, lockOwnAccount, Profile, updateName } from './accounts.ts';

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

export function getMe(deps: MeDeps, actor: UserActor): Promise<Me> {
  return seen(deps, deps.pool, actor);
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
    return seen(deps, tx, actor);
  });
}

async function seen({ clock }: MeDeps, db: Db, actor: UserActor): Promise<Me> {
  const account = await findOwnAccount(db, actor.user_id, clock());
  // The gateway lets nobody through whose account is gone; within its second of memory it may.
  if (!account) throw new AppError('auth.session_ended');
  const { new_email, old_confirmed, new_confirmed, change_expires_at: expires_at, ...own } = account;
  return {
    ...own,
    amr: actor.amr ?? [],
    authenticated_at: new Date((actor.auth_time ?? 0) * 1000),
    pending_email:
      new_email && expires_at ? { new_email: maskEmail(new_email), old_confirmed, new_confirmed, expires_at } : null,
  };
}
