import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import { markAuthenticated } from '../sessions/sessions.ts';

/** Notes in the caller's own session what was proved; the gateway names both, and nothing is noted where they differ. */
export async function markOwnSession(
  deps: Deps,
  tx: Tx,
  { user_id, session_id }: UserActor,
  amr: AuthenticationMethod[],
  how: { anew: boolean },
) {
  const session = await markAuthenticated(deps, tx, session_id, amr, how);
  if (session.user_id !== user_id) throw new AppError('auth.session_ended');
  return session;
}
