import { z } from 'zod';

export const OrgRole = z.enum(['owner', 'admin', 'analyst', 'billing', 'viewer']);
export type OrgRole = z.infer<typeof OrgRole>;

export const OrgPermission = z.enum([
  'api_keys:read',
  'api_keys:write',
  'audit:read',
  'members:read',
  'members:write',
  'organization:delete',
  'organization:read',
  'organization:write',
]);
export type OrgPermission = z.infer<typeof OrgPermission>;

/** What each role may do in its organization: the one source of the guard, the published table and the tests. */
export const ROLE_PERMISSIONS: Readonly<Record<OrgRole, readonly OrgPermission[]>> = {
  owner: OrgPermission.options,
  admin: [
    'api_keys:read',
    'api_keys:write',
    'audit:read',
    'members:read',
    'members:write',
    'organization:read',
    'organization:write',
  ],
  analyst: ['audit:read', 'members:read', 'organization:read'],
  billing: ['members:read', 'organization:read'],
  viewer: ['members:read', 'organization:read'],
};

/** Permissions of a role; a platform admin acts in any organization with an owner's. */
export function permissionsOf(role: OrgRole | 'platform_admin'): readonly OrgPermission[] {
  return role === 'platform_admin' ? OrgPermission.options : ROLE_PERMISSIONS[role];
}
