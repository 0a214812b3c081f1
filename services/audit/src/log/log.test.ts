import { newId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { publish } from '@gatehouse/kit/outbox';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createApp } from '../app.ts';
import { publishMany, sealAll, testActor } from '../test-events.ts';

let db: TestDatabase;
let server: Listening;
beforeAll(async () => {
  db = await testDatabase();
  const log = createLogger({ service: 'audit', version: '0', environment: 'test', level: 'error' });
  const metrics = createMetrics({ version: '0', revision: '0' });
  server = await listen(createApp({ pool: db.pool('audit'), log, metrics, verifier: testVerifier('audit') }));
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const as = (org: string, role: 'owner' | 'analyst' | 'billing' | 'viewer' = 'owner'): Client =>
  client(server.url, identityHeaders('audit', { org: { id: org, role } }));
const platformAdmin = (): Client => client(server.url, identityHeaders('audit', { role: 'admin' }));
const routesOf = (entries: { data: { route: string } }[]) => entries.map((entry) => entry.data.route);

async function organization(events: number): Promise<string> {
  const org = newId();
  await publishMany(db.pool('org'), events, org);
  await sealAll(db.pool('audit'));
  return org;
}

test('an organization reads its log page by page, newest first, each record once', async () => {
  const org = await organization(25);
  const path = `/api/org/${org}/audit?limit=10`;
  const first = await as(org, 'analyst').get(path);
  const second = await as(org).get(`${path}&cursor=${first.body.next_cursor}`);
  await publishMany(db.pool('org'), 3, org);
  await sealAll(db.pool('audit'));
  const third = await as(org).get(`${path}&cursor=${second.body.next_cursor}`);

  const seen = [first, second, third].flatMap((page) => routesOf(page.body.data));
  expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => `/r/${25 - n}`));
  expect(third.body.next_cursor).toBeNull();
  expect(first.body.data[0]).toEqual({
    id: expect.any(String),
    action: 'access.denied.v1',
    kind: 'access',
    org_id: org,
    actor: expect.objectContaining({ kind: 'user', id: expect.any(String) }),
    target: null,
    outcome: 'denied',
    address: '203.0.113.7',
    agent: expect.any(String),
    request_id: 'r1',
    trace_id: 't1',
    data: { method: 'GET', route: '/r/25', status: 403, code: 'access.denied' },
    occurred_at: expect.stringMatching(/Z$/),
  });
});

test('pages are filtered by action, actor, target and time', async () => {
  const org = await organization(3);
  const actor = testActor();
  await publishMany(db.pool('org'), 2, org, actor);
  const target = { type: 'user', id: newId() };
  await publish(
    db.pool('org'),
    actor,
    'access.denied.v1',
    { method: 'PUT', route: '/x', status: 403, code: 'c' },
    { org_id: org, target },
  );
  await sealAll(db.pool('audit'));
  const get = async (filter: string) => (await as(org).get(`/api/org/${org}/audit?${filter}`)).body.data;

  expect(await get(`actor=${actor.user_id}`)).toHaveLength(3);
  expect((await get(`actor=${actor.user_id}&limit=1`))[0].target).toEqual(target);
  expect(await get(`target=${target.id}`)).toHaveLength(1);
  expect(await get(`target=${target.id}&actor=${newId()}`)).toHaveLength(0);
  expect(await get('action=access.denied.v1')).toHaveLength(6);
  expect(await get('action=org.member_removed.v1')).toHaveLength(0);
  expect(await get('from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z')).toHaveLength(0);
  expect(await get(`from=${new Date(Date.now() - 60_000).toISOString()}`)).toHaveLength(6);
  expect(await get(`to=${encodeURIComponent('2999-01-01T00:00:00+02:00')}`)).toHaveLength(6);
});

test('a viewer and a member of another organization are refused; nobody without an identity gets in', async () => {
  const org = await organization(1);
  for (const role of ['viewer', 'billing'] as const)
    expect((await as(org, role).get(`/api/org/${org}/audit`)).status).toBe(403);
  expect((await client(server.url).get(`/api/org/${org}/audit`)).status).toBe(401);
  expect((await as(newId()).get(`/api/org/${org}/audit`)).status).not.toBe(200);
  expect((await as(org).get('/api/admin/audit')).status).toBe(403);
});

test('S075, S083: foreign rows, unknown filters, forged and foreign cursors are not for having', async () => {
  const [a, b] = [await organization(3), await organization(3)];
  const path = `/api/org/${a}/audit`;
  const { next_cursor } = (await as(b).get(`/api/org/${b}/audit?limit=1`)).body;
  const own = (await as(a).get(`${path}?limit=1`)).body.next_cursor as string;
  const flipped = Buffer.from(own, 'base64url');
  flipped[12] = (flipped[12] ?? 0) ^ 1;

  const bad = [
    `org_id=${b}`,
    `org_id[]=${a}&org_id[]=${b}`,
    'sort=password_hash',
    'fields=*',
    'include=members',
    'kind=security',
    `cursor=${next_cursor}`,
    `cursor=${flipped.toString('base64url')}`,
    `cursor=${own}&action=access.denied.v1`,
    'cursor=x',
    'limit=-1',
    'limit=1e9',
    'limit=NaN',
    'limit=1&limit=2',
    'actor=%00',
    'target=%27',
    'action=%27',
    'from=yesterday',
    'from=0000-01-01T00:00:00Z',
    'to=+10000-01-01T00:00:00Z',
  ];
  for (const query of bad) {
    const answer = await as(a).get(`${path}?${query}`);
    expect({ query, status: answer.status }).toEqual({ query, status: 400 });
  }
  const all = await as(a).get(path);
  expect(all.body.data).toHaveLength(3);
  expect(JSON.stringify(all.body)).not.toContain(b);
  expect(JSON.stringify(all.body)).not.toContain('"seq"');
});

test('platform admins read everything, events of no organization too, by kind and organization', async () => {
  const org = await organization(2);
  await publish(db.pool('auth'), testActor({ agent: 'nobody' }), 'access.denied.v1', {
    method: 'GET',
    route: '/',
    status: 403,
    code: 'c',
  });
  await sealAll(db.pool('audit'));

  const [newest] = (await platformAdmin().get('/api/admin/audit?limit=1')).body.data;
  expect(newest).toMatchObject({
    org_id: null,
    agent: 'nobody',
    seq: expect.any(Number),
    hash: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  expect((await platformAdmin().get(`/api/admin/audit?org_id=${org}`)).body.data).toHaveLength(2);
  expect((await platformAdmin().get(`/api/admin/audit?org_id=${org}&kind=admin_action`)).body.data).toHaveLength(0);
  expect((await platformAdmin().get('/api/admin/audit?kind=gossip')).status).toBe(400);
});

test('what administrators did is a view of its own for platform admins', async () => {
  const [org, target] = [newId(), newId()];
  const standing = (status: string) => ({ status, plan: 'free' });
  const data = { reason: 'unpaid', old: standing('active'), new: standing('suspended') };
  const options = { org_id: org, target: { type: 'organization', id: target } };
  await publish(db.pool('org'), testActor(), 'org.organization_administered.v1', data, options);
  await organization(2);

  const { status, body } = await platformAdmin().get(`/api/admin/audit?kind=admin_action&target=${target}`);
  expect(status).toBe(200);
  expect(body.data).toEqual([expect.objectContaining({ kind: 'admin_action', data })]);
  for (const entry of (await platformAdmin().get('/api/admin/audit?kind=admin_action')).body.data)
    expect(entry.kind).toBe('admin_action');
});

test('S123: no application role can change, cut or empty the log, nor read beyond its organization', async () => {
  const org = await organization(1);
  const attempts = [
    `update audit.log set outcome = 'success'`,
    'delete from audit.log',
    'truncate audit.log',
    'alter table audit.log disable trigger all',
    'alter table audit.log no force row level security',
    'delete from audit.head',
    'truncate audit.head',
    `update events.outbox set data = '{}'`,
    'truncate events.outbox',
    'drop schema audit cascade',
  ];
  for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const)
    for (const attempt of attempts)
      await expect(db.pool(role).pg.query(attempt)).rejects.toMatchObject({ code: '42501' });
  for (const role of ['auth', 'org', 'worker', 'gateway'] as const) {
    await expect(db.pool(role).pg.query('select * from audit.log')).rejects.toMatchObject({ code: '42501' });
    await expect(db.pool(role).pg.query('insert into audit.log default values')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(db.pool(role).pg.query('select * from events.outbox')).rejects.toMatchObject({ code: '42501' });
  }
  // The owner of the schema and the superuser, who have the privilege, are stopped by the triggers.
  for (const role of ['migrator', 'admin'] as const)
    for (const attempt of attempts.slice(0, 3)) {
      await expect(inPlatform(role, attempt)).rejects.toMatchObject({ code: '42501' });
    }
  expect((await db.pool('audit').pg.query('select * from audit.log')).rows).toEqual([]);
  for (const method of ['put', 'post', 'patch', 'delete'] as const)
    expect((await as(org)[method](`/api/org/${org}/audit`, {})).status).toBe(405);
});

async function inPlatform(role: 'migrator' | 'admin', statement: string): Promise<unknown> {
  const connection = await db.pool(role).pg.connect();
  try {
    await connection.query(`begin; set local gatehouse.platform = 'on'`);
    return await connection.query(statement);
  } finally {
    await connection.query('rollback');
    connection.release();
  }
}
