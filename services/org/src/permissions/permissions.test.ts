import { OrgPermission, OrgRole, permissionsOf } from '@gatehouse/contracts/permissions';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { endpoints } from '../app.ts';
import type { Deps } from '../deps.ts';
import { startOrg, type TestOrg } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

test('everyone can read the table that the guard goes by', async () => {
  const { status, body } = await org.as({ kind: 'anonymous' }).get('/api/permissions');

  expect(status).toBe(200);
  const roles = Object.fromEntries(
    body.roles.map(({ role, permissions }: { role: string; permissions: string[] }) => [role, permissions]),
  );
  expect(Object.keys(roles)).toEqual([...OrgRole.options, 'platform_admin']);
  for (const role of OrgRole.options) expect(roles[role]).toEqual(permissionsOf(role));
  expect(body.permissions.map(({ permission }: { permission: string }) => permission)).toEqual(OrgPermission.options);
});

test('each role has a part of what the roles above it have', () => {
  const above: [OrgRole, OrgRole][] = [
    ['owner', 'admin'],
    ['admin', 'analyst'],
    ['admin', 'billing'],
    ['analyst', 'viewer'],
    ['billing', 'viewer'],
  ];
  for (const [higher, lower] of above)
    expect(permissionsOf(higher)).toEqual(expect.arrayContaining([...permissionsOf(lower)]));
});

test('every permission that an endpoint asks for is in the table', () => {
  for (const { orgPermission } of endpoints({} as Deps))
    if (orgPermission) expect(OrgPermission.options).toContain(orgPermission);
});
