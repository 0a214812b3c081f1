import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import type { User } from '../accounts/accounts.ts';
import { openChallenge, SecondFactorNeeded } from '../challenges/challenges.ts';
import type { Deps } from '../deps.ts';
import { type Client, findDevice, recognizeDevice } from '../devices/devices.ts';
import { suffices } from '../factors/enrolment.ts';
import { listFactors } from '../factors/factors.ts';
import { openSession, SignedIn } from './open-session.ts';
import { mustHaveSecondFactor } from './policy.ts';

export { SignedIn } from './open-session.ts';

/** What every way in answers: a session, or what is missing for one. */
export const SignInAnswer = z.union([SignedIn, SecondFactorNeeded]);

/** What was proved so far, and from where. */
export interface Proof {
  amr: AuthenticationMethod[];
  client: Client;
}

/** The answer of every way in: its body, and the cookies that go with it. */
export interface SignIn {
  body: z.input<typeof SignedIn> | SecondFactorNeeded;
  cookies: string[];
}

/**
 * The end of every way in. The caller's transaction holds the user's row and has seen that the account is active and
 * what it proved; this opens the session, unless a second factor is to be proved or set up first.
 */
export async function completeSignIn(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  user: User,
  { amr, client }: Proof,
): Promise<SignIn> {
  const owner = { ...actor, kind: 'user' as const, user_id: user.id, role: user.role };
  const factors = await listFactors(tx, user.id);
  const trusted = suffices(user, factors) && (await findDevice(deps, tx, user.id, client))?.trusted === true;
  const kind =
    factors.length > 0 ? 'verify' : (await mustHaveSecondFactor(deps.config, tx, user)) ? 'enrol' : undefined;
  if (kind && !trusted)
    return { body: await openChallenge(deps, tx, owner, user, { kind, amr, factors }), cookies: [] };

  // Only now: a device is known once somebody has come in from it.
  const device = await recognizeDevice(deps, tx, owner, user, client);
  const body = await openSession(deps, tx, owner, user, {
    amr: trusted ? [...amr, 'mfa'] : amr,
    device_id: device.id,
    client,
    ...(trusted ? { second_factor: 'trusted_device' as const } : {}),
  });
  return { body, cookies: device.cookies };
}
