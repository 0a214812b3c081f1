import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { PermissionTable, permissionTable } from './permissions.ts';

export function permissionRoutes(): Endpoint[] {
  return [
    endpoint({
      get: '/api/permissions',
      summary: 'Read what each role may do in its organization',
      permission: 'public',
      answers: { 200: PermissionTable },
      handle: () => permissionTable,
    }),
  ];
}
