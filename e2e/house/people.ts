import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OrgRole } from '@gatehouse/contracts/permissions';
import type { Client } from '../client.ts';
import { house, visitor } from './house.ts';

export interface Person {
  id: string;
  name: string;
  email: string;
  password: string;
  /** Signed in. */
  client: Client;
  refreshToken: string;
}

export interface Company {
  id: string;
  name: string;
  people: Record<OrgRole, Person>;
}

interface Tokens {
  access_token: string;
  refresh_token: string;
  user: { id: string };
}

export async function signedIn(person: { name: string; email: string; password: string }): Promise<Person> {
  const client = visitor();
  const { email, password, name } = person;
  const answer = await client.post<Tokens>('/api/auth/login', { email, password });
  if (answer.status !== 200) throw new Error(`${name} cannot sign in: ${answer.status} ${answer.text}`);
  const { access_token, refresh_token, user } = answer.body;
  return { name, email, password, id: user.id, client: client.as(access_token), refreshToken: refresh_token };
}

let admin: Promise<Person> | undefined;

/** The admin of the platform; bootstraps it when the demo has not. */
export function platformAdmin(): Promise<Person> {
  admin ??= becomeAdmin();
  return admin;
}

async function becomeAdmin(): Promise<Person> {
  const file = join(house().dataDir, 'demo.json');
  if (existsSync(file)) return signedIn(JSON.parse(readFileSync(file, 'utf8')).admin);
  const person = { name: 'Root', email: 'root@platform.test', password: 'made-for-a-run-of-tests-1' };
  const { name, email, password } = person;
  await visitor().post('/api/bootstrap', { organization: { name: 'Platform' }, admin: { name, email, password } });
  return signedIn(person);
}

export const newPassword = () => randomBytes(18).toString('base64url');

/** Somebody new in an organization, signed in. */
export async function hire(orgId: string, role: OrgRole): Promise<Person> {
  const { client } = await platformAdmin();
  const email = `${role}-${randomBytes(6).toString('hex')}@people.test`;
  const person = { name: `The ${role}`, email, password: newPassword() };
  const registered = await client.post<{ user: { id: string } }>('/api/auth/register', { ...person, org_id: orgId });
  if (registered.status !== 201) throw new Error(`cannot register a ${role}: ${registered.text}`);
  if (role !== 'viewer') {
    const changed = await client.patch(`/api/org/${orgId}/members/${registered.body.user.id}`, { role });
    if (changed.status !== 200) throw new Error(`cannot make a ${role}: ${changed.text}`);
  }
  return signedIn(person);
}

/** A new organization with somebody of each role that a test needs. */
export async function company<R extends OrgRole>(
  roles: readonly R[],
): Promise<Company & { people: Record<R, Person> }> {
  const { client } = await platformAdmin();
  const name = `Company ${randomBytes(6).toString('hex')}`;
  const founded = await client.post<{ id: string }>('/api/orgs', { name });
  if (founded.status !== 201) throw new Error(`cannot found a company: ${founded.text}`);
  const { id } = founded.body;
  // Room for as many people and keys as a test makes.
  const roomy = await client.patch(`/api/platform/organizations/${id}`, { plan: 'enterprise', reason: 'a test' });
  if (roomy.status !== 200) throw new Error(`cannot change the plan of a company: ${roomy.text}`);
  const people: Partial<Record<OrgRole, Person>> = {};
  for (const role of roles) people[role] = await hire(id, role);
  return { id, name, people: people as Record<OrgRole, Person> };
}

export interface ApiKey {
  id: string;
  key: string;
  prefix: string;
}

export async function newKey(owner: Person, orgId: string, body: Record<string, unknown> = {}): Promise<ApiKey> {
  const answer = await owner.client.post<ApiKey>(`/api/org/${orgId}/api-keys`, { name: 'a test', ...body });
  if (answer.status !== 201) throw new Error(`cannot create a key: ${answer.text}`);
  return answer.body;
}
