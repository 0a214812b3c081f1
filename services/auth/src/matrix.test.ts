import { randomUUID } from 'node:crypto';
import { type MatrixOrganization, type RouteTable, testMatrix } from '@gatehouse/testkit/matrix';
import { endpoints } from './app.ts';
import type { Deps } from './deps.ts';
import { type AuthUnderTest, claimsOf, PASSWORD, SETTINGS, startAuth } from './testing.ts';

interface Organization extends MatrixOrganization {
  /** A session of its owner. */
  session_id: string;
  /** The device that it was opened on. */
  device_id: string;
}

const ADMIN_ACTIONS = [
  'disable',
  'enable',
  'end-sessions',
  'unlock',
  'reset-password',
  'reset-factors',
  'delete',
  'restore',
];
const administered = {
  'PATCH /api/admin/users/:user_id': { role: 'admin' },
  ...Object.fromEntries(ADMIN_ACTIONS.map((action) => [`POST /api/admin/users/:user_id/${action}`, {}])),
};

const table: RouteTable<Organization> = {
  'GET /api/admin/users/:user_id': ({ members }) => ({ ids: { user_id: members.owner } }),
  ...Object.fromEntries(
    Object.entries(administered).map(([route, body]) => [
      route,
      ({ members }: Organization) => ({ ids: { user_id: members.owner }, body: { ...body, reason: 'a test' } }),
    ]),
  ),
  'DELETE /api/auth/sessions/:session_id': ({ session_id }) => ({ ids: { session_id } }),
  'DELETE /api/auth/devices/:device_id': ({ device_id }) => ({ ids: { device_id } }),
  'GET /internal/sessions/:session_id': ({ session_id }) => ({ ids: { session_id } }),
};

let auth: AuthUnderTest;

async function found(): Promise<Organization> {
  const owner = await auth.user();
  const { body } = await auth.anonymous.post('/api/auth/login', { email: owner.email, password: PASSWORD });
  const members = {
    owner: owner.id,
    admin: randomUUID(),
    analyst: randomUUID(),
    billing: randomUUID(),
    viewer: randomUUID(),
  };
  const session_id = claimsOf(body.access_token).payload.sid;
  const [row] = await auth.rows<{ device_id: string }>('select device_id from auth.sessions where id = $1', [
    session_id,
  ]);
  return { id: randomUUID(), members, session_id, device_id: row?.device_id ?? '' };
}

testMatrix<Organization>({
  service: 'auth',
  schema: 'auth',
  endpoints: endpoints({ config: SETTINGS } as Deps),
  table,
  // The administrators of the matrix are in no table: who has lost the role meanwhile changes nobody.
  exceptions: Object.fromEntries(Object.keys(administered).map((route) => [route, { platform_admin: 403 }])),
  async start() {
    auth = await startAuth();
    return { url: auth.url, database: auth.database, found, close: auth.close };
  },
});
