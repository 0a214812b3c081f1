import { newId } from '@gatehouse/kit/ids';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg({ instances: 2 });
});
afterAll(() => org.close());

const codes = (answers: { status: number; body: { code?: string } | undefined }[]) =>
  answers.map(({ status, body }) => `${status} ${body?.code ?? ''}`.trim());
const path = ({ id }: TestOrganization) => `/api/org/${id}/transfer-ownership`;
const rolesOf = async ({ id }: TestOrganization, ...users: string[]) => {
  const rows = await org.rows<{ user_id: string; role: string }>(
    'select user_id, role from org.members where org_id = $1',
    [id],
  );
  return users.map((user) => rows.find(({ user_id }) => user_id === user)?.role);
};
const countOwners = async ({ id }: TestOrganization) =>
  (await org.rows(`select 1 from org.members where org_id = $1 and role = 'owner'`, [id])).length;

describe('handing an organization over', () => {
  test('the member becomes owner and the owner admin, with one event and both facts forgotten', async () => {
    const acme = await org.found();
    const { owner, viewer } = acme.members;
    for (const user of [owner, viewer]) await org.gateway().get(`/internal/guard/${acme.id}/${user}`);

    const answer = await org.member(acme, 'owner').post(path(acme), { user_id: viewer });

    expect([answer.status, answer.body]).toEqual([200, expect.objectContaining({ user_id: viewer, role: 'owner' })]);
    expect(await rolesOf(acme, owner, viewer)).toEqual(['admin', 'owner']);
    expect((await org.events(acme.id)).at(-1)).toMatchObject({
      type: 'org.ownership_transferred.v1',
      kind: 'security',
      actor: { user_id: owner },
      data: { from: owner, to: viewer },
    });
    const facts = [owner, viewer].map((user) => `fact:member:${acme.id}:${user}`);
    expect(await org.redis.client.mget(facts)).toEqual(['', '']);
    const again = await org.member(acme, 'owner').post(path(acme), { user_id: viewer });
    expect(codes([again])).toEqual(['403 access.denied']);
  });

  test('S054: it takes a proof that is not older than ten minutes, and so does making somebody an owner', async () => {
    const acme = await org.found();
    const { owner, viewer } = acme.members;
    const at = (seconds: number) =>
      org.as({
        sub: owner,
        org: { id: acme.id, role: 'owner' },
        auth_time: Math.floor(Date.now() / 1000) - seconds,
      });
    const late = [
      await at(660).post(path(acme), { user_id: viewer }),
      await at(660).patch(`/api/org/${acme.id}/members/${viewer}`, { role: 'owner' }),
      await at(660).delete(`/api/org/${acme.id}`),
    ];
    expect(codes(late)).toEqual(Array(3).fill('403 auth.reauth_required'));
    expect(late[0]?.body.proof).toEqual({ post: '/api/auth/reauthenticate', max_age_seconds: 600 });
    expect(late[1]?.headers.get('www-authenticate')).toMatch(/insufficient_user_authentication/);
    expect(await rolesOf(acme, owner, viewer)).toEqual(['owner', 'viewer']);
    expect((await at(660).patch(`/api/org/${acme.id}/members/${viewer}`, { role: 'analyst' })).status).toBe(200);
    expect((await at(540).post(path(acme), { user_id: viewer })).status).toBe(200);
  });

  test('only to a member, not to oneself, and nothing but the member is said', async () => {
    const [acme, other] = [await org.found(), await org.found()];
    const client = org.member(acme, 'owner');
    const answers = [
      await client.post(path(acme), { user_id: newId() }),
      await client.post(path(acme), { user_id: other.members.viewer }),
      await client.post(path(acme), { user_id: acme.members.owner }),
      await client.post(path(acme), { user_id: acme.members.viewer, role: 'owner' }),
      await client.post(path(acme), { user_id: [acme.members.viewer] }),
    ];
    expect(codes(answers)).toEqual([
      '404 org.member_not_found',
      '404 org.member_not_found',
      '409 conflict',
      '400 request.invalid',
      '400 request.invalid',
    ]);
    expect(await countOwners(acme)).toBe(1);
  });

  test('S033: who is no owner any more hands nothing over', async () => {
    const acme = await org.found({ owners: 2 });
    const client = org.member(acme, 'owner');
    await org
      .owner(acme.id, acme.owners[1] as string)
      .patch(`/api/org/${acme.id}/members/${acme.members.owner}`, { role: 'admin' });
    expect(codes([await client.post(path(acme), { user_id: acme.members.viewer })])).toEqual(['403 access.denied']);
  });

  test('a platform admin appoints an owner and takes nobody’s place', async () => {
    const acme = await org.found();
    const root = org.as({ role: 'admin', org: { id: acme.id, role: 'platform_admin' } });
    expect((await root.post(path(acme), { user_id: acme.members.viewer })).status).toBe(200);
    expect(await rolesOf(acme, acme.members.owner, acme.members.viewer)).toEqual(['owner', 'owner']);
  });

  test('S077: a platform admin who is a viewer stays one', async () => {
    const acme = await org.found();
    const { owner, viewer, analyst } = acme.members;
    const root = org.as({ sub: viewer, role: 'admin', org: { id: acme.id, role: 'platform_admin' } });

    expect((await root.post(path(acme), { user_id: analyst })).status).toBe(200);

    expect(await rolesOf(acme, owner, viewer, analyst)).toEqual(['owner', 'viewer', 'owner']);
    expect((await org.events(acme.id)).at(-1)?.data).toEqual({ from: null, to: analyst });
  });

  test('S077: an id in capital letters is the same id', async () => {
    const acme = await org.found();
    const { owner, viewer } = acme.members;
    await org.gateway().get(`/internal/guard/${acme.id}/${viewer}`);
    const client = org.member(acme, 'owner');

    expect(codes([await client.post(path(acme), { user_id: owner.toUpperCase() })])).toEqual(['409 conflict']);
    expect((await client.post(path(acme), { user_id: viewer.toUpperCase() })).status).toBe(200);

    expect(await rolesOf(acme, owner, viewer)).toEqual(['admin', 'owner']);
    expect(await org.redis.client.get(`fact:member:${acme.id}:${viewer}`)).toBe('');
  });
});

describe('always an owner', () => {
  // Guards the lock in writeIn: tried without it, both handed over and the organization had two owners.
  test('of two handovers at the same time one happens', async () => {
    for (let round = 0; round < 10; round++) {
      const acme = await org.found();
      const { owner, admin, viewer } = acme.members;
      const answers = await Promise.all([
        org.owner(acme.id, owner, org.instances[0]).post(path(acme), { user_id: admin }),
        org.owner(acme.id, owner, org.instances[1]).post(path(acme), { user_id: viewer }),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
      expect(await countOwners(acme)).toBe(1);
    }
  });

  test.each([
    ['the successor is removed', 'delete', 'viewer', undefined],
    ['the successor’s role changes', 'patch', 'viewer', { role: 'billing' }],
    ['the owner leaves', 'post', 'owner', undefined],
    ['the owner steps down', 'patch', 'owner', { role: 'viewer' }],
  ] as const)('handing over while %s leaves an owner', async (_, method, role, body) => {
    for (let round = 0; round < 10; round++) {
      const acme = await org.found();
      const { owner, viewer } = acme.members;
      const member = `/api/org/${acme.id}/members/${acme.members[role]}`;
      const [transfer, other] = await Promise.all([
        org.owner(acme.id, owner, org.instances[0]).post(path(acme), { user_id: viewer }),
        method === 'post'
          ? org.owner(acme.id, owner, org.instances[1]).post(`/api/org/${acme.id}/leave`)
          : org.owner(acme.id, owner, org.instances[1])[method](member, body),
      ]);
      expect([200, 404]).toContain(transfer.status);
      expect([200, 204, 403, 409]).toContain(other.status);
      expect(await countOwners(acme)).toBe(1);
    }
  });

  test('the database itself lets no organization lose its last owner, whoever writes', async () => {
    const acme = await org.found({ owners: 2 });
    const [ada, ben] = acme.owners as [string, string];
    const statements = [`update org.members set role = 'admin'`, 'delete from org.members'];
    for (const statement of statements) {
      const both = org.rows(`${statement} where org_id = $1 and role = 'owner'`, [acme.id]);
      await expect(both).rejects.toMatchObject({ constraint: 'members_owner_left' });
    }
    // Two transactions that each leave the other's owner. Guards the lock in org.assert_owner: without it the second
    // does not wait for the first, and finds the owner that is about to go.
    const [one, two] = [await org.database.pool('admin').pg.connect(), await org.database.pool('admin').pg.connect()];
    const remove = 'delete from org.members where org_id = $1 and user_id = $2';
    for (const connection of [one, two]) await connection.query('begin');
    await one.query(remove, [acme.id, ada]);
    await two.query(remove, [acme.id, ben]);
    await one.query('set constraints all immediate');
    const second = two.query('set constraints all immediate').then(
      () => 'no owner',
      (error) => error.constraint,
    );
    await eventually(async () => {
      const waiting = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'set constraints%'`;
      return (await org.rows(`${waiting} and datname = current_database()`)).length > 0;
    });
    await one.query('commit');
    expect(await second).toBe('members_owner_left');
    await two.query('rollback');
    for (const connection of [one, two]) connection.release();
    expect(await countOwners(acme)).toBe(1);
  });
});
