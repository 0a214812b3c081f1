import { GuardFact, GuardFacts, guardKey } from '@gatehouse/contracts/facts';
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

test('many are answered at once, each as alone, and cached for ten to fifteen seconds', async () => {
  const [acme, other] = [await org.found(), await org.found()];
  const [stranger, nowhere] = [newId(), newId()];
  const pairs = [
    ...Object.values(acme.members).map((user_id) => ({ org_id: acme.id, user_id })),
    { org_id: other.id, user_id: other.members.owner },
    { org_id: other.id, user_id: acme.members.owner },
    { org_id: other.id, user_id: stranger },
    { org_id: nowhere, user_id: stranger },
    // The same twice.
    { org_id: other.id, user_id: other.members.owner },
  ];

  const { status, body } = await org.gateway().post('/internal/guard', { pairs });

  expect(status).toBe(200);
  const { guards } = GuardFacts.parse(body);
  expect(Object.keys(guards).sort()).toEqual(
    [...new Set(pairs.map(({ org_id, user_id }) => guardKey(org_id, user_id)))].sort(),
  );
  const strangerKeys = [`fact:member:${other.id}:${stranger}`, `fact:org:${nowhere}`];
  expect(await org.redis.client.exists(...strangerKeys)).toBe(0);
  const left = await org.redis.client.pttl(`fact:member:${acme.id}:${acme.members.viewer}`);
  expect(left).toBeGreaterThan(9_000);
  expect(left).toBeLessThanOrEqual(15_000);
  expect(await org.redis.client.get(`fact:member:${other.id}:${other.members.owner}`)).toBe('{"role":"owner"}');
  for (const { org_id, user_id } of pairs)
    expect([org_id, user_id, guards[guardKey(org_id, user_id)]]).toEqual([
      org_id,
      user_id,
      (await guard(org_id, user_id)).body,
    ]);
});

test('five hundred are taken at once, one more or what is no id is not', async () => {
  const ask = (pairs: object[]) => org.gateway().post('/internal/guard', { pairs });
  const pairs = Array.from({ length: 501 }, () => ({ org_id: newId(), user_id: newId() }));
  expect((await ask(pairs.slice(1))).status).toBe(200);
  expect((await ask(pairs)).status).toBe(400);
  expect((await ask([])).status).toBe(400);
  expect((await ask([{ org_id: newId(), user_id: 'me' }])).status).toBe(400);
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
