import { z } from 'zod';

export const OrgRole = z.enum(['owner', 'admin', 'analyst', 'billing', 'viewer']);
export type OrgRole = z.infer<typeof OrgRole>;

export const OrgPermission = z.enum([
  'api_keys:read',
  'api_keys:write',
  'audit:read',
  'billing:read',
  'invitations:read',
  'invitations:write',
  'members:read',
  'members:write',
  'organization:delete',
  'organization:read',
  'organization:transfer',
  'organization:write',
  'policies:read',
  'policies:write',
]);
export type OrgPermission = z.infer<typeof OrgPermission>;

/** What a permission lets its holder do, as the published table says it. */
export const PERMISSION_MEANINGS: Readonly<Record<OrgPermission, string>> = {
  'api_keys:read': 'See the API keys of the organization, never the keys themselves',
  'api_keys:write': 'Create, rotate and revoke API keys',
  'audit:read': 'Read the audit log of the organization',
  'billing:read': 'See the plan, its limits and what of them is used',
  'invitations:read': 'See the open invitations',
  'invitations:write': 'Invite people up to the own role, and withdraw invitations',
  'members:read': 'See who belongs to the organization',
  'members:write': 'Change roles up to the own one and remove members; only owners touch owners',
  'organization:delete': 'Delete the organization',
  'organization:read': 'See the organization, and leave it',
  'organization:transfer': 'Hand the organization over to another member',
  'organization:write': 'Change the name of the organization',
  'policies:read': 'See the policies of the organization',
  'policies:write': 'Change the policies: second factor, mail domains, session length',
};

/** What each role may do in its organization: the one source of the guard, the published table and the tests. */
export const ROLE_PERMISSIONS: Readonly<Record<OrgRole, readonly OrgPermission[]>> = {
  owner: OrgPermission.options,
  admin: [
    'api_keys:read',
    'api_keys:write',
    'audit:read',
    'billing:read',
    'invitations:read',
    'invitations:write',
    'members:read',
    'members:write',
    'organization:read',
    'organization:write',
    'policies:read',
    'policies:write',
  ],
  analyst: ['api_keys:read', 'audit:read', 'members:read', 'organization:read'],
  billing: ['billing:read', 'members:read', 'organization:read'],
  viewer: ['members:read', 'organization:read'],
};

/** Permissions of a role; a platform admin acts in any organization with an owner's. */
export function permissionsOf(role: OrgRole | 'platform_admin'): readonly OrgPermission[] {
  return role === 'platform_admin' ? OrgPermission.options : ROLE_PERMISSIONS[role];
}
