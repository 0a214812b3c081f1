import { randomUUID } from 'node:crypto';
import { type MatrixOrganization, type RouteTable, testMatrix } from '@gatehouse/testkit/matrix';
import { endpoints } from './app.ts';
import type { Deps } from './deps.ts';
import { type AuthUnderTest, claimsOf, PASSWORD, SETTINGS, startAuth } from './testing.ts';

interface Organization extends MatrixOrganization {
  /** A session of its owner. */
  session_id: string;
}

const table: RouteTable<Organization> = {
  'DELETE /api/auth/sessions/:session_id': ({ session_id }) => ({ ids: { session_id } }),
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
  return { id: randomUUID(), members, session_id: claimsOf(body.access_token).payload.sid };
}

testMatrix<Organization>({
  service: 'auth',
  schema: 'auth',
  endpoints: endpoints({ config: SETTINGS } as Deps),
  table,
  async start() {
    auth = await startAuth();
    return { url: auth.url, database: auth.database, found, close: auth.close };
  },
});
