import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { publish } from '@gatehouse/kit/outbox';
import type { z } from 'zod';
import { Profile, type User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { type Client, recognizeDevice } from '../devices/devices.ts';
import { startSession, Tokens } from '../sessions/sessions.ts';

export const SignedIn = Tokens.extend({ user: Profile });

/** What was proved so far, and from where. */
export interface Proof {
  amr: AuthenticationMethod[];
  client: Client;
}

/** The answer of every way in: its body, and the cookies that go with it. */
export interface SignIn {
  body: z.input<typeof SignedIn>;
  cookies: string[];
}

/**
 * The end of every way in. The caller's transaction holds the user's row and has seen that the account is active and
 * what it proved; this opens the session.
 */
export async function completeSignIn(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  user: User,
  { amr, client }: Proof,
): Promise<SignIn> {
  const owner = { ...actor, kind: 'user' as const, user_id: user.id, role: user.role };
  const device = await recognizeDevice(deps, tx, owner, user, client);
  const { session_id, tokens } = await startSession(deps, tx, user, owner, { amr, device_id: device.id });
  const succeeded = { user_id: user.id, session_id, method: 'password' } as const;
  const target = { type: 'user', id: user.id };
  await publish(tx, { ...owner, session_id }, 'auth.login_succeeded.v1', succeeded, { target });
  const { id, email, name, role } = user;
  return { body: { ...tokens(), user: { id, email, name, role } }, cookies: device.cookies };
}
