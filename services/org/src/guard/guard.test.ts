import { GuardFact } from '@gatehouse/contracts/facts';
import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startOrg, type TestOrg } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const guard = (orgId: string, userId: string) => org.gateway().get(`/internal/guard/${orgId}/${userId}`);

test('the guard tells state, plan and role, and caches them for the gateway', async () => {
  const acme = await org.found();

  const { body } = await guard(acme.id, acme.members.billing);

  expect(GuardFact.parse(body)).toEqual({
    org: { id: acme.id, status: 'active', plan: 'free', second_factor_required: false, session_max_seconds: null },
    member: { role: 'billing' },
  });
  const [orgFact, member] = [`fact:org:${acme.id}`, `fact:member:${acme.id}:${acme.members.billing}`];
  expect(await org.redis.client.mget(orgFact, member)).toEqual([JSON.stringify(body.org), '{"role":"billing"}']);
  expect(await org.redis.client.ttl(orgFact)).toBeLessThanOrEqual(15);
});

test('an unknown organization is null, and so is the membership of a stranger, which is not cached', async () => {
  const acme = await org.found();
  const stranger = newId();
  expect((await guard(newId(), stranger)).body).toEqual({ org: null, member: null });
  expect((await guard(acme.id, stranger)).body).toMatchObject({ org: { id: acme.id }, member: null });
  expect(await org.redis.client.exists(`fact:member:${acme.id}:${stranger}`)).toBe(0);
});

test('an answer that was read before a change is not cached after it', async () => {
  const acme = await org.found();
  const { viewer } = acme.members;
  const key = `fact:member:${acme.id}:${viewer}`;

  await org.member(acme, 'owner').delete(`/api/org/${acme.id}/members/${viewer}`);
  await org.facts.fill(key, { role: 'viewer' });

  expect(await org.facts.read([key])).toEqual([undefined]);
});

test('F22: without Redis the guard answers, and roles change', async () => {
  const acme = await org.found();
  const { client } = org.redis;
  await client.quit();
  try {
    expect((await guard(acme.id, acme.members.viewer)).body.member).toEqual({ role: 'viewer' });
    const path = `/api/org/${acme.id}/members/${acme.members.viewer}`;
    expect((await org.member(acme, 'owner').patch(path, { role: 'analyst' })).status).toBe(200);
    expect((await guard(acme.id, acme.members.viewer)).body.member).toEqual({ role: 'analyst' });
  } finally {
    await client.connect();
  }
});

test('the lookups go by index, however many organizations and members there are', async () => {
  await org.rows(
    `insert into org.organizations (id, name, slug, created_by)
     select gen_random_uuid(), 'Bulk', 'bulk-' || i, gen_random_uuid() from generate_series(1, 1000) i`,
  );
  await org.rows(
    `insert into org.members (org_id, user_id, role)
     select o.id, gen_random_uuid(), 'viewer' from org.organizations o, generate_series(1, 10) where o.name = 'Bulk'`,
  );
  await org.rows('analyze org.organizations, org.members, org.api_keys');
  const connection = await org.database.pool('admin').pg.connect();
  const plan = async (text: string) => {
    const { rows } = await connection.query<{ 'QUERY PLAN': string }>(`explain ${text}`);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  };
  try {
    await connection.query('begin');
    // As the functions run: the owner's rights, under forced row-level security.
    await connection.query(`set local role gatehouse_migrator; set local gatehouse.platform = 'on'`);
    const id = newId();
    const plans = [
      await plan(`select o.status, o.plan, m.role from org.organizations o
        left join org.members m on m.org_id = o.id and m.user_id = '${id}' where o.id = '${id}'`),
      await plan(`select o.id, m.role from org.members m join org.organizations o on o.id = m.org_id
        where m.user_id = '${id}' and o.status <> 'deleted' order by m.org_id limit 50`),
      await plan(`select count(*) from org.organizations o where o.created_by = '${id}'`),
    ];
    for (const text of plans) expect(text).not.toMatch(/Seq Scan/);
  } finally {
    await connection.query('rollback');
    connection.release();
  }
});
