import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { publish } from '@gatehouse/kit/outbox';
import type { z } from 'zod';
import { ownEmail, Profile, type User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import type { Client } from '../devices/devices.ts';
import type { FactorMethod } from '../factors/methods.ts';
import { startSession, Tokens } from '../sessions/sessions.ts';

export const SignedIn = Tokens.extend({ user: Profile });

interface Opening {
  amr: AuthenticationMethod[];
  device_id: string;
  client: Client;
  second_factor?: FactorMethod | 'trusted_device';
}

/** Opens the session of a sign-in that has proved everything, in the transaction that holds the user's row. */
export async function openSession(
  deps: Deps,
  tx: Tx,
  owner: Actor,
  user: User,
  { amr, device_id, client, second_factor }: Opening,
): Promise<z.input<typeof SignedIn>> {
  const { session_id, tokens } = await startSession(deps, tx, user, owner, {
    amr,
    device_id,
    replaces: client.replaces,
  });
  const succeeded = {
    user_id: user.id,
    session_id,
    method: 'password',
    ...(second_factor ? { second_factor } : {}),
  } as const;
  await publish(tx, { ...owner, session_id }, 'auth.login_succeeded.v1', succeeded, {
    target: { type: 'user', id: user.id },
  });
  const { id, name, role } = user;
  return { ...tokens(), user: { id, email: ownEmail(user), name, role } };
}
