import type { UserActor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { lockUser } from '../accounts/accounts.ts';
import { cancelChallengesOf } from '../challenges/challenges.ts';
import type { Deps } from '../deps.ts';
import { endSessionsOf } from './sessions.ts';

/** Ends every session of the own account, with the sign-ins that wait for a second factor to become one. */
export function endAllOwnSessions(deps: Deps, actor: UserActor): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    await lockUser(tx, actor.user_id);
    await endSessionsOf(deps, tx, actor, actor.user_id, 'user');
    await cancelChallengesOf(tx, actor.user_id);
  });
}
