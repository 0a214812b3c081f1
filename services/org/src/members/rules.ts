import type { ErrorCode } from '@gatehouse/contracts/errors';
import type { OrgRole } from '@gatehouse/contracts/permissions';

/** Whoever acts: a member by its role, or a platform admin, who acts as an owner would. */
export type ActingRole = OrgRole | 'platform_admin';

const RANK: Record<ActingRole, number> = { platform_admin: 4, owner: 4, admin: 3, analyst: 2, billing: 2, viewer: 1 };

export const outranks = (one: ActingRole, other: ActingRole) => RANK[one] > RANK[other];

interface RoleChange {
  acting: ActingRole;
  from: OrgRole;
  to: OrgRole;
  /** How many owners there are now. */
  owners: number;
}

/** Why a role may not be changed, or undefined when it may. */
export function refuseRoleChange({ acting, from, to, owners }: RoleChange): ErrorCode | undefined {
  if (outranks(from, acting)) return 'org.owner_required';
  if (outranks(to, acting)) return 'org.role_above_own';
  if (from === 'owner' && to !== 'owner' && owners === 1) return 'org.last_owner';
  return undefined;
}

/** Why a member may not be removed, or undefined when it may. Leaving is removing oneself. */
export function refuseRemoval({ acting, from, owners }: Omit<RoleChange, 'to'>): ErrorCode | undefined {
  if (outranks(from, acting)) return 'org.owner_required';
  if (from === 'owner' && owners === 1) return 'org.last_owner';
  return undefined;
}
