import { factKey } from '@gatehouse/contracts/facts';
import type { OrgActor, UserActor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import type { Deps } from '../deps.ts';
import { writeIn } from '../organizations/writing.ts';
import { getMembership } from './members.ts';
import { countOwners, findMembership, type Membership, updateRole } from './store.ts';

/**
 * Makes another member an owner and the caller an admin, under the organization's lock: whoever hands over, leaves or
 * is removed at the same time comes before or after. The first statement already leaves two owners, never none.
 */
export function transferOwnership(deps: Deps, actor: OrgActor, userId: string): Promise<Membership> {
  return deps.operations('ownership_transfer', () =>
    writeIn(deps, actor, 'organization:transfer', async ({ tx, organization: { id } }) => {
      if (userId === actor.user_id) throw new AppError('conflict', 'Name another member than yourself.');
      await getMembership(tx, id, userId);
      const successor = await updateRole(tx, id, userId, 'owner');
      // A platform admin need not be an owner, and then hands over nothing of their own.
      const owned = (await findMembership(tx, id, actor.user_id))?.role === 'owner';
      if (owned) await updateRole(tx, id, actor.user_id, 'admin');
      const transfer = { from: owned ? actor.user_id : null, to: userId };
      const target = { type: 'user', id: userId };
      await publish(tx, actor, 'org.ownership_transferred.v1', transfer, { target });
      await deps.facts.invalidate(factKey.member(id, userId), factKey.member(id, actor.user_id));
      return successor;
    }),
  );
}

/** A platform admin makes a member an owner. The caller holds the organization's lock. */
export async function appointOwner(
  { facts }: Pick<Deps, 'facts'>,
  tx: Tx,
  actor: UserActor,
  { orgId, userId }: { orgId: string; userId: string },
): Promise<void> {
  await getMembership(tx, orgId, userId);
  await updateRole(tx, orgId, userId, 'owner');
  const options = { org_id: orgId, target: { type: 'user', id: userId } };
  await publish(tx, actor, 'org.ownership_transferred.v1', { from: null, to: userId }, options);
  await facts.invalidate(factKey.member(orgId, userId));
}

export async function assertOwned(tx: Tx, orgId: string): Promise<void> {
  if ((await countOwners(tx, orgId)) === 0)
    throw new AppError('org.last_owner', 'The organization has no owner; name a member as owner_id.');
}
