import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import type { User } from '../accounts/accounts.ts';
import { cancelTokens } from '../action-tokens/action-tokens.ts';
import { cancelChallengesOf } from '../challenges/challenges.ts';
import { cancelCodesOf } from '../codes/codes.ts';
import type { Deps } from '../deps.ts';
import { dropTrustOf } from '../devices/devices.ts';
import { endSessionsOf, type ToldReason } from '../sessions/sessions.ts';
import { cancelInvitationLinks, deleteEmailChangeOf, deleteVerificationsOf } from './store.ts';

interface Cancellation {
  /** Why the sessions ended, as the log tells it. */
  reason: ToldReason;
  /** The session that goes on: the one that changes its own password. */
  keepSession?: string;
  /** Whether links of invitations stay: for a proof of the mailbox that they went to as well. */
  keepInvitations?: boolean;
}

/**
 * Makes worthless whatever could still turn into access to an account: sessions with their refresh families, mailed
 * links, registrations under way, challenges, codes, trust in devices, a change of address, links of invitations. The
 * caller's transaction holds the user's row, so that nothing new is made meanwhile.
 */
export async function cancelCapabilities(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  user: Pick<User, 'id' | 'email'>,
  { reason, keepSession, keepInvitations = false }: Cancellation,
): Promise<void> {
  await endSessionsOf(deps, tx, actor, user.id, reason, keepSession === undefined ? {} : { except: keepSession });
  await cancelTokens(tx, user.id);
  await deleteVerificationsOf(tx, user.id);
  await deleteEmailChangeOf(tx, user.id);
  await cancelChallengesOf(tx, user.id);
  await cancelCodesOf(tx, user.id);
  await dropTrustOf(tx, user.id);
  if (!keepInvitations) await cancelInvitationLinks(tx, user.email);
}
