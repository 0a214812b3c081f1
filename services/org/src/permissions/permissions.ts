import { OrgPermission, OrgRole, PERMISSION_MEANINGS, permissionsOf } from '@gatehouse/contracts/permissions';
import { z } from 'zod';

export const PermissionTable = z.object({
  permissions: z.array(z.object({ permission: OrgPermission, meaning: z.string() })),
  roles: z.array(
    z.object({ role: z.enum([...OrgRole.options, 'platform_admin']), permissions: z.array(OrgPermission) }),
  ),
});

/** The table that the guard itself goes by, for everyone to read. */
export const permissionTable: Readonly<z.infer<typeof PermissionTable>> = Object.freeze({
  permissions: OrgPermission.options.map((permission) => ({ permission, meaning: PERMISSION_MEANINGS[permission] })),
  roles: [...OrgRole.options, 'platform_admin' as const].map((role) => ({
    role,
    permissions: [...permissionsOf(role)],
  })),
});
