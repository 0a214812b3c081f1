import { ROLE_PERMISSIONS } from '@gatehouse/contracts/permissions';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from './client.ts';
import { closeVisitors, query, visitor } from './house/house.ts';
import { type Company, company, hire, newKey, type Person, platformAdmin } from './house/people.ts';
import { filled, isOfOrganization, type Operation, operations } from './house/reference.ts';
import { until } from './house/wait.ts';

const ROLES = ['owner', 'admin', 'analyst', 'billing', 'viewer'] as const;

let a: Company;
let b: Company;
let keyOfA: string;
let keyOfB: { id: string };
let loner: Person;
let all: Operation[];

beforeAll(async () => {
  [a, b] = [await company(ROLES), await company(['owner', 'viewer'])];
  keyOfA = (await newKey(a.people.owner, a.id)).key;
  keyOfB = await newKey(b.people.owner, b.id);
  const leaving = await hire(a.id, 'viewer');
  await leaving.client.post(`/api/org/${a.id}/leave`);
  loner = leaving;
  all = await operations();
}, 90_000);
afterAll(closeVisitors);

/** Everything that a request on B could have changed. */
const stateOfB = () =>
  query(
    `select (select jsonb_agg(to_jsonb(o)) from org.organizations o where o.id = $1) as organization,
            (select jsonb_agg(to_jsonb(m) order by m.user_id) from org.members m where m.org_id = $1) as members,
            (select jsonb_agg(to_jsonb(k) order by k.id) from org.api_keys k where k.org_id = $1) as keys,
            (select count(*) from auth.sessions s join org.members m on m.user_id = s.user_id
              where m.org_id = $1 and s.ended_at is null) as sessions`,
    [b.id],
  );

const valuesOfB = () => ({ org_id: b.id, user_id: b.people.viewer.id, key_id: keyOfB.id });
const call = (client: Client, operation: Operation, values: Record<string, string>, headers = {}) =>
  client.send({
    method: operation.method,
    path: filled(operation, values),
    headers,
    ...(['POST', 'PATCH'].includes(operation.method) ? { body: {} } : {}),
  });

// Generated from the served reference, so that a new route is in it by itself.
test("S072: nobody but its own people reaches B's objects, by path or by header, and nothing changes", async () => {
  const before = await stateOfB();
  const ofOrganizations = all.filter(isOfOrganization);
  expect(ofOrganizations.length).toBeGreaterThanOrEqual(10);
  const actors: [string, Client, number][] = [
    ['nobody', visitor(), 401],
    ['a user of no organization', loner.client, 404],
    ...ROLES.map((role): [string, Client, number] => [`${role} of A`, a.people[role].client, 404]),
    ['a key of A', visitor().as(keyOfA), 403],
  ];
  const seen: string[] = [];
  const wanted: string[] = [];
  await Promise.all(
    actors.map(async ([name, client, status]) => {
      for (const operation of ofOrganizations) {
        const title = `${name}: ${operation.method} ${operation.path}`;
        const answer = await call(client, operation, valuesOfB());
        wanted.push(`${title} -> ${status}`);
        seen.push(`${title} -> ${answer.status}`);
        // A's path with B's name in the header: two answers to one question.
        if (status === 404 && name !== 'a user of no organization') {
          const mixed = await call(client, operation, { ...valuesOfB(), org_id: a.id }, { 'x-org-id': b.id });
          wanted.push(`${title}, header B -> 400`);
          seen.push(`${title}, header B -> ${mixed.status}`);
        }
      }
    }),
  );
  expect(seen.filter((line) => !wanted.includes(line))).toEqual([]);
  expect(await stateOfB()).toEqual(before);
}, 60_000);

test("S072: B's sessions, and the application for B, are closed to A's people", async () => {
  const sessions = await b.people.viewer.client.get<{ data: { id: string }[] }>('/api/auth/sessions');
  const session = sessions.body.data[0]?.id;
  for (const client of [a.people.owner.client, loner.client, (await platformAdmin()).client])
    expect((await client.delete(`/api/auth/sessions/${session}`)).status).toBe(404);
  expect((await b.people.viewer.client.get('/api/auth/me')).status).toBe(200);

  for (const client of [a.people.owner.client, loner.client])
    expect((await client.get('/api/proxy/example/x', { 'x-org-id': b.id })).status).toBe(404);
  expect((await visitor().as(keyOfA).get('/api/proxy/example/x', { 'x-org-id': b.id })).status).toBe(400);
});

test("S075: an object of B under A's path does not exist, and an organization in the query is refused", async () => {
  const { client } = a.people.owner;
  expect((await client.patch(`/api/org/${a.id}/members/${b.people.viewer.id}`, { role: 'admin' })).status).toBe(404);
  expect((await client.delete(`/api/org/${a.id}/members/${b.people.viewer.id}`)).status).toBe(404);
  expect((await client.delete(`/api/org/${a.id}/api-keys/${keyOfB.id}`)).status).toBe(404);
  for (const search of [`org_id=${b.id}`, `org_id[]=${a.id}&org_id[]=${b.id}`])
    expect((await client.get(`/api/org/${a.id}/audit?${search}`)).status).toBe(400);
});

test('a route of the platform is closed to who is no platform admin', async () => {
  const ofPlatform = all.filter(({ permission }) => permission === 'platform_admin');
  expect(ofPlatform.length).toBeGreaterThanOrEqual(3);
  for (const operation of ofPlatform)
    for (const [client, status] of [
      [visitor(), 401],
      [a.people.owner.client, 403],
      [visitor().as(keyOfA), 403],
    ] as const) {
      const answer = await call(client, operation, { org_id: b.id });
      expect(`${operation.method} ${operation.path} ${answer.status}`).toBe(
        `${operation.method} ${operation.path} ${status}`,
      );
    }
});

describe('S076: each role does what the published table says', () => {
  test('the published table is the one that the guard uses', async () => {
    const table = await visitor().get('/api/permissions');
    expect(table.status).toBe(200);
    for (const [role, permissions] of Object.entries(ROLE_PERMISSIONS))
      for (const permission of permissions)
        expect({ role, table: table.text }).toMatchObject({ role, table: expect.stringContaining(permission) });
  });

  test('what a role lacks is refused with 403 and changes nothing; what it may read it reads', async () => {
    const values = { org_id: a.id, user_id: a.people.billing.id, key_id: keyOfB.id };
    const wrong: string[] = [];
    for (const role of ROLES)
      for (const operation of all.filter(isOfOrganization)) {
        const may = (ROLE_PERMISSIONS[role] as readonly string[]).includes(operation.permission);
        // What is allowed is tried only where it changes nothing.
        if (may && operation.method !== 'GET') continue;
        const answer = await call(a.people[role].client, operation, values);
        const expected = may ? 200 : 403;
        if (answer.status !== expected)
          wrong.push(`${role}: ${operation.method} ${operation.path} -> ${answer.status}`);
      }
    expect(wrong).toEqual([]);
  }, 60_000);

  test('a refusal is in the record, with who, what and from where', async () => {
    const { client, id } = a.people.viewer;
    const refused = await client.post(`/api/org/${a.id}/api-keys`, { name: 'mine' });
    const requestId = refused.headers['x-request-id'];
    const rows = await until(
      'the refusal is sealed',
      10_000,
      () =>
        query('select type, actor_id, org_id, outcome, address, data from audit.log where request_id = $1', [
          requestId,
        ]),
      (found) => found.length > 0,
    );
    expect(rows).toEqual([
      {
        type: 'access.denied.v1',
        actor_id: id,
        org_id: a.id,
        outcome: 'denied',
        address: expect.stringMatching(/^127\./),
        data: expect.objectContaining({ method: 'POST', status: 403, permission: 'api_keys:write' }),
      },
    ]);
  });
});
