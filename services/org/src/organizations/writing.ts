import { type OrgPermission, permissionsOf } from '@gatehouse/contracts/permissions';
import type { OrgActor } from '@gatehouse/kit/actor';
import { orgTransaction, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import type { ActingRole } from '../members/rules.ts';
import type { Organization } from './organization.ts';
import { findRole, lockOrganization } from './store.ts';

export interface Writing {
  tx: Tx;
  organization: Organization;
  /** What the actor is right now, not what the identity says it was when it was minted. */
  acting: ActingRole;
}

/**
 * Every write in an organization goes through here. It holds the organization's lock, so writes follow one another:
 * counts, last owners and roles that a decision rests on still stand when it commits, and no two locks can cross.
 */
export function writeIn<T>(
  { pool }: Pick<Deps, 'pool'>,
  actor: OrgActor,
  permission: OrgPermission,
  work: (writing: Writing) => Promise<T>,
): Promise<T> {
  return orgTransaction(pool, actor.org.id, async (tx) => {
    const organization = await lockOrganization(tx, actor.org.id);
    if (!organization || organization.status === 'deleted') throw new AppError('org.not_found');
    if (organization.status === 'suspended') throw new AppError('org.suspended');
    const acting = await actingRole(tx, actor);
    if (!acting || !permissionsOf(acting).includes(permission)) throw new AppError('access.denied');
    return work({ tx, organization, acting });
  });
}

async function actingRole(tx: Tx, { role, org, user_id }: OrgActor): Promise<ActingRole | undefined> {
  if (role === 'admin' && org.role === 'platform_admin') return 'platform_admin';
  return (await findRole(tx, org.id, user_id))?.role;
}
