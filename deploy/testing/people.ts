import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Client, openClient } from '../../e2e/client.ts';
import type { Site } from './site.ts';

export interface Staff {
  /** Nobody yet: without a token. */
  visitor: Client;
  /** Signed in as the platform's admin, who is also the owner of `orgId`. */
  admin: Client;
  email: string;
  password: string;
  refreshToken: string;
  orgId: string;
  /** An API key of the organization. */
  key: string;
  /** Access tokens of people who found organizations: one each for every client that does. */
  founders: string[];
  signedInAt: number;
}

const FOUNDERS = 8;
// Access tokens live for a quarter of an hour.
const RENEW_AFTER_MS = 8 * 60_000;
const ADMIN = { name: 'Root', email: 'root@load.invalid', password: 'made-for-a-run-of-tests-1' };

export function visitorOf(site: Site): Client {
  return openClient({ url: site.url, ca: readFileSync(site.ca, 'utf8'), agent: 'deploy-tests' });
}

/** Founds the first organization of a fresh site, with a plan that has room and an API key. */
export async function bootstrap(site: Site): Promise<Staff> {
  const visitor = visitorOf(site);
  const founded = await visitor.post<{ organization: { id: string } }>('/api/bootstrap', {
    secret: await site.secret('BOOTSTRAP_SECRET'),
    organization: { name: 'Load' },
    admin: ADMIN,
  });
  if (founded.status !== 201) throw new Error(`bootstrap: ${founded.status} ${founded.text}`);
  const orgId = founded.body.organization.id;
  const tokens = await login(visitor, ADMIN.email);
  const admin = visitor.as(tokens.access_token);
  const changed = await admin.patch(`/api/platform/organizations/${orgId}`, { plan: 'enterprise', reason: 'load' });
  if (changed.status !== 200) throw new Error(`plan: ${changed.status} ${changed.text}`);
  return signIn(site, orgId);
}

/** Somebody new each time: one person may found so many organizations and no more. */
async function founder(visitor: Client, admin: Client, orgId: string): Promise<string> {
  const person = { email: `founder-${randomUUID()}@load.invalid`, name: 'A founder', password: ADMIN.password };
  const registered = await admin.post('/api/auth/register', { ...person, org_id: orgId });
  if (registered.status !== 201) throw new Error(`founder: ${registered.status} ${registered.text}`);
  return (await login(visitor, person.email)).access_token;
}

async function login(visitor: Client, email: string): Promise<Tokens> {
  const tokens = await visitor.post<Tokens>('/api/auth/login', { email, password: ADMIN.password });
  if (tokens.status !== 200) throw new Error(`login: ${tokens.status} ${tokens.text}`);
  return tokens.body;
}

/** Signs everybody in again where their tokens would end during what follows. */
export async function freshen(site: Site, staff: Staff): Promise<void> {
  if (Date.now() - staff.signedInAt > RENEW_AFTER_MS) Object.assign(staff, await signIn(site, staff.orgId));
}

interface Tokens {
  access_token: string;
  refresh_token: string;
}

/** New sessions, and a new key, of who founded the organization. */
export async function signIn(site: Site, orgId: string): Promise<Staff> {
  const visitor = visitorOf(site);
  const tokens = await login(visitor, ADMIN.email);
  const admin = visitor.as(tokens.access_token);
  const made = await admin.post<{ key: string }>(`/api/org/${orgId}/api-keys`, { name: `load ${Date.now()}` });
  if (made.status !== 201) throw new Error(`key: ${made.status} ${made.text}`);
  const founders: string[] = [];
  while (founders.length < FOUNDERS) founders.push(await founder(visitor, admin, orgId));
  return {
    ...{ visitor, admin, email: ADMIN.email, password: ADMIN.password, orgId, founders },
    ...{ refreshToken: tokens.refresh_token, key: made.body.key, signedInAt: Date.now() },
  };
}
