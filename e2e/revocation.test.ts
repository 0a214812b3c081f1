import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Answer, Client } from './client.ts';
import { closeVisitors, visitor } from './house/house.ts';
import { type Company, company, hire, newKey, type Person, platformAdmin } from './house/people.ts';

// The published bound: what is revoked counts no more a second later, though every cache on the way was warm.
const BOUND_MS = 1000;
// nginx lets one address make ten requests a second, so a wait of a second asks from several.
const POLL_MS = 25;

let acme: Company;
let admin: Person;
beforeAll(async () => {
  acme = await company(['owner']);
  admin = await platformAdmin();
}, 60_000);
afterAll(closeVisitors);

const took: [what: string, ms: number][] = [];
afterAll(() => {
  process.stdout.write(`${took.map(([what, ms]) => `  ${what}: ${Math.round(ms)} ms`).join('\n')}\n`);
});

/** Milliseconds from now until a request is refused with `status`; the last answer before must have been a success. */
async function refusedAfter(what: string, ask: (client: Client) => Promise<Answer>, status: number, token?: string) {
  const start = performance.now();
  const clients = Array.from({ length: 4 }, () => visitor({ patient: false }).as(token));
  for (let i = 0; ; i++) {
    const answer = await ask(clients[i % clients.length] as Client);
    const ms = performance.now() - start;
    if (answer.status === status) {
      took.push([what, ms]);
      expect(ms).toBeLessThanOrEqual(BOUND_MS);
      // Dead stays dead.
      expect((await ask(clients[0] as Client)).status).toBe(status);
      return;
    }
    expect([what, answer.status]).toEqual([what, 200]);
    if (ms > BOUND_MS) throw new Error(`${what}: still ${answer.status} after ${Math.round(ms)} ms`);
    await delay(POLL_MS);
  }
}

/** Asks until everything on the way has an answer in its memory. */
async function warm(ask: () => Promise<Answer>): Promise<void> {
  for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200);
}

describe('S031: a session that ended', () => {
  test('a sign-out kills access and refresh token', async () => {
    const person = await hire(acme.id, 'viewer');
    const me = () => person.client.get('/api/auth/me');
    await warm(me);
    expect((await person.client.post('/api/auth/logout')).status).toBe(204);
    await refusedAfter('sign-out', (client) => client.get('/api/auth/me'), 401, person.client.token);
    const refresh = await visitor().post('/api/auth/refresh', { refresh_token: person.refreshToken });
    expect(refresh.status).toBe(401);
  });

  test('its token is dead for organizations and applications too', async () => {
    const person = await hire(acme.id, 'viewer');
    const proxied = (client: Client) => client.get('/api/proxy/example/x', { 'x-org-id': acme.id });
    await warm(() => proxied(person.client));
    await warm(() => person.client.get(`/api/org/${acme.id}`));
    expect((await person.client.delete('/api/auth/sessions')).status).toBe(204);
    await refusedAfter('all sessions ended, application', proxied, 401, person.client.token);
    await refusedAfter(
      'the same, organization',
      (client) => client.get(`/api/org/${acme.id}`),
      401,
      person.client.token,
    );
  });

  test('a token in the address is no token', async () => {
    const { token } = acme.people.owner.client;
    expect((await visitor().get(`/api/auth/me?access_token=${token}`)).status).toBe(401);
  });
});

describe('S033: a role is what the organization says now, not what a token said', () => {
  test('an admin made viewer may not write any more', async () => {
    const person = await hire(acme.id, 'admin');
    const write = (client: Client) => client.patch(`/api/org/${acme.id}`, { name: acme.name });
    await warm(() => write(person.client));
    const path = `/api/org/${acme.id}/members/${person.id}`;
    expect((await admin.client.patch(path, { role: 'viewer' })).status).toBe(200);
    await refusedAfter('admin made viewer', write, 403, person.client.token);
    expect((await person.client.get(`/api/org/${acme.id}`)).status).toBe(200);
  });

  test('a member who was removed does not know the organization any more', async () => {
    const person = await hire(acme.id, 'admin');
    const read = (client: Client) => client.get(`/api/org/${acme.id}`);
    const proxied = (client: Client) => client.get('/api/proxy/example/x', { 'x-org-id': acme.id });
    await warm(() => read(person.client));
    await warm(() => proxied(person.client));
    expect((await admin.client.delete(`/api/org/${acme.id}/members/${person.id}`)).status).toBe(204);
    await refusedAfter('member removed', read, 404, person.client.token);
    await refusedAfter('the same, application', proxied, 404, person.client.token);
  });

  test('an organization that is suspended is closed to its own', async () => {
    const other = await company(['owner']);
    const { client } = other.people.owner;
    const key = await newKey(other.people.owner, other.id);
    const write = (visiting: Client) => visiting.patch(`/api/org/${other.id}`, { name: other.name });
    const byKey = (visiting: Client) => visiting.get('/api/proxy/example/x', { 'x-api-key': key.key });
    await warm(() => write(client));
    await warm(() => byKey(visitor()));
    const suspended = await admin.client.patch(`/api/platform/organizations/${other.id}`, {
      status: 'suspended',
      reason: 'a test',
    });
    expect(suspended.status).toBe(200);
    await Promise.all([
      refusedAfter('organization suspended', write, 403, client.token),
      refusedAfter('the same, its key', byKey, 401),
    ]);
  });
});

describe('S090: a key that ended', () => {
  const path = () => `/api/org/${acme.id}/api-keys`;
  const use = (key: string) => (client: Client) => client.get('/api/proxy/example/x', { 'x-api-key': key });

  test('revoked', async () => {
    const key = await newKey(acme.people.owner, acme.id);
    await warm(() => use(key.key)(visitor()));
    expect((await acme.people.owner.client.delete(`${path()}/${key.id}`)).status).toBe(204);
    await refusedAfter('key revoked', use(key.key), 401);
  });

  test('replaced without an overlap', async () => {
    const key = await newKey(acme.people.owner, acme.id);
    await warm(() => use(key.key)(visitor()));
    const rotated = await acme.people.owner.client.post<{ key: string }>(`${path()}/${key.id}/rotate`, {
      overlap_seconds: 0,
    });
    expect(rotated.status).toBe(201);
    await refusedAfter('key replaced', use(key.key), 401);
    expect((await use(rotated.body.key)(visitor())).status).toBe(200);
  });

  test('expired', async () => {
    const expiresAt = Date.now() + 1500;
    const key = await newKey(acme.people.owner, acme.id, { expires_at: new Date(expiresAt).toISOString() });
    await warm(() => use(key.key)(visitor()));
    await delay(expiresAt - Date.now());
    await refusedAfter('key expired', use(key.key), 401);
  });
});
