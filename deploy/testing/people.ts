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
}

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
  const staff = await signIn(site, orgId);
  const changed = await staff.admin.patch(`/api/platform/organizations/${orgId}`, {
    plan: 'enterprise',
    reason: 'load',
  });
  if (changed.status !== 200) throw new Error(`plan: ${changed.status} ${changed.text}`);
  return staff;
}

interface Tokens {
  access_token: string;
  refresh_token: string;
}

/** A new session, and a new key, of who founded the organization. */
export async function signIn(site: Site, orgId: string): Promise<Staff> {
  const visitor = visitorOf(site);
  const { email, password } = ADMIN;
  const tokens = await visitor.post<Tokens>('/api/auth/login', { email, password });
  if (tokens.status !== 200) throw new Error(`login: ${tokens.status} ${tokens.text}`);
  const admin = visitor.as(tokens.body.access_token);
  const made = await admin.post<{ key: string }>(`/api/org/${orgId}/api-keys`, { name: `load ${Date.now()}` });
  if (made.status !== 201) throw new Error(`key: ${made.status} ${made.text}`);
  return { visitor, admin, email, password, refreshToken: tokens.body.refresh_token, orgId, key: made.body.key };
}
