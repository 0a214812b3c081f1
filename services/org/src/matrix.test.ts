import { newId } from '@gatehouse/kit/ids';
import { type RouteTable, testMatrix } from '@gatehouse/testkit/matrix';
import { endpoints } from './app.ts';
import type { Deps } from './deps.ts';
import { startOrg, type TestOrg, type TestOrganization } from './testing.ts';

let org: TestOrg;

async function apiKey({ id, members }: TestOrganization): Promise<{ key_id: string }> {
  const { body } = await org.owner(id, members.owner).post(`/api/org/${id}/api-keys`, { name: 'ci' });
  return { key_id: body.id };
}

async function invitation({ id, members }: TestOrganization): Promise<{ invitation_id: string }> {
  const offer = { email: `${newId()}@users.test`, role: 'viewer' };
  const { body } = await org.owner(id, members.owner).post(`/api/org/${id}/invitations`, offer);
  return { invitation_id: body.id };
}

const table: RouteTable<TestOrganization> = {
  'GET /api/org/:org_id': () => ({}),
  'PATCH /api/org/:org_id': () => ({ body: { name: 'Renamed' } }),
  'DELETE /api/org/:org_id': () => ({}),
  'GET /api/org/:org_id/members': () => ({}),
  'PATCH /api/org/:org_id/members/:user_id': ({ members }) => ({
    ids: { user_id: members.viewer },
    body: { role: 'analyst' },
  }),
  'DELETE /api/org/:org_id/members/:user_id': ({ members }) => ({ ids: { user_id: members.viewer } }),
  'POST /api/org/:org_id/leave': () => ({}),
  'POST /api/org/:org_id/transfer-ownership': ({ members }) => ({ body: { user_id: members.viewer } }),
  'GET /api/org/:org_id/invitations': () => ({}),
  'POST /api/org/:org_id/invitations': () => ({ body: { email: `${newId()}@users.test`, role: 'viewer' } }),
  'POST /api/org/:org_id/invitations/:invitation_id/resend': async (one) => ({ ids: await invitation(one) }),
  'DELETE /api/org/:org_id/invitations/:invitation_id': async (one) => ({ ids: await invitation(one) }),
  'POST /api/invitations/:invitation_id/accept': async (one) => ({ ids: await invitation(one) }),
  'POST /api/invitations/:invitation_id/decline': async (one) => ({ ids: await invitation(one) }),
  'GET /api/org/:org_id/policies': () => ({}),
  'PATCH /api/org/:org_id/policies': () => ({ body: { session_max_seconds: 3600 } }),
  'GET /api/org/:org_id/billing': () => ({}),
  'GET /api/org/:org_id/api-keys': () => ({}),
  'POST /api/org/:org_id/api-keys': () => ({ body: { name: 'ci' } }),
  'POST /api/org/:org_id/api-keys/:key_id/rotate': async (one) => ({ ids: await apiKey(one), body: {} }),
  'POST /api/org/:org_id/api-keys/:key_id/check': async (one) => ({
    ids: await apiKey(one),
    body: { method: 'GET', path: '/api/proxy/example/x' },
  }),
  'PATCH /api/org/:org_id/api-keys/:key_id': async (one) => ({ ids: await apiKey(one), body: { name: 'other' } }),
  'DELETE /api/org/:org_id/api-keys/:key_id': async (one) => ({ ids: await apiKey(one) }),
  'PATCH /api/platform/organizations/:org_id': () => ({ body: { plan: 'pro', reason: 'upgraded' } }),
  'GET /internal/guard/:org_id/:user_id': ({ members }) => ({ ids: { user_id: members.viewer } }),
  'GET /internal/api-keys/:hash': () => ({ ids: { hash: '0'.repeat(64) } }),
};

testMatrix({
  service: 'org',
  schema: 'org',
  endpoints: endpoints({} as Deps),
  table,
  exceptions: {
    // A platform admin is no member, so there is nothing to leave.
    'POST /api/org/:org_id/leave': { platform_admin: 404 },
  },
  // Leaving is every member's; a check of a key writes nothing.
  writesForReaders: ['POST /api/org/:org_id/leave', 'POST /api/org/:org_id/api-keys/:key_id/check'],
  async start() {
    org = await startOrg();
    const { url, database, close } = org;
    return { url, database, close, found: () => org.found({ owners: 2 }) };
  },
});
