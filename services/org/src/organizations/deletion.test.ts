import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const DAY_MS = 86_400_000;
const inDays = (days: number) => new Date(org.clock().getTime() + days * DAY_MS);
async function cleanUp(days: number): Promise<number> {
  const { rows } = await org.database.pool('worker').pg.query('select org.cleanup($1) as removed', [inDays(days)]);
  return rows[0].removed;
}
const count = async (table: string, { id }: TestOrganization, column = 'org_id') =>
  (await org.rows(`select 1 from org.${table} where ${column} = $1`, [id])).length;

/** With something of everything in it. */
async function full(): Promise<TestOrganization> {
  const acme = await org.found();
  await org.member(acme, 'owner').post(`/api/org/${acme.id}/api-keys`, { name: 'ci' });
  const offer = { email: `${newId()}@users.test`, role: 'viewer' };
  await org.member(acme, 'owner').post(`/api/org/${acme.id}/invitations`, offer);
  return acme;
}

describe('deleting an organization', () => {
  test('it can be brought back for thirty days, with all that was in it', async () => {
    const acme = await full();
    await org.member(acme, 'owner').delete(`/api/org/${acme.id}`);
    await cleanUp(29);
    const decision = { status: 'active', reason: 'deleted by mistake' };
    const restored = await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, decision);
    expect(restored.body).toMatchObject({ id: acme.id, status: 'active' });
    await cleanUp(60);
    expect(await count('members', acme)).toBe(5);
    expect((await org.member(acme, 'viewer').get(`/api/org/${acme.id}`)).status).toBe(200);
    expect((await org.events(acme.id)).at(-1)).toMatchObject({
      type: 'org.organization_administered.v1',
      data: { old: { status: 'deleted' }, new: { status: 'active' } },
    });
  });

  test('then it is removed with everything in it, for good, and its short name is free', async () => {
    const acme = await full();
    const other = await full();
    await org.member(acme, 'owner').delete(`/api/org/${acme.id}`);

    expect(await cleanUp(31)).toBeGreaterThan(0);

    for (const table of ['members', 'api_keys', 'invitations']) expect(await count(table, acme)).toBe(0);
    expect([await count('organizations', acme, 'id'), await count('organizations', other, 'id')]).toEqual([0, 1]);
    expect(await count('members', other)).toBe(5);
    expect((await org.events(acme.id)).at(-1)).toMatchObject({
      type: 'org.organization_purged.v1',
      actor: { kind: 'service' },
      data: { slug: `acme-${acme.id}` },
    });
    const decision = { status: 'active', reason: 'too late' };
    expect((await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, decision)).status).toBe(404);
    const slug = `s-${newId()}`;
    const gone = (await org.as({}).post('/api/orgs', { name: 'Gone', slug })).body;
    await org.rows(`update org.organizations set status = 'deleted', deleted_at = $2 where id = $1`, [
      gone.id,
      inDays(0),
    ]);
    await cleanUp(31);
    expect((await org.as({}).post('/api/orgs', { name: 'New', slug })).status).toBe(201);
  });

  test('one that lost its owner with an account comes back with a new one only', async () => {
    const acme = await org.found();
    const { owner, admin, viewer } = acme.members;
    await org.rows('delete from org.members where org_id = $1 and user_id = $2', [acme.id, admin]);
    await org.database.pool('auth').pg.query('select org.forget_user($1)', [owner]);
    const restore = (more = {}) =>
      org
        .platformAdmin()
        .patch(`/api/platform/organizations/${acme.id}`, { status: 'active', reason: 'asked', ...more });
    const refused = await restore();
    expect([refused.status, refused.body.code]).toEqual([409, 'org.last_owner']);
    expect((await restore({ owner_id: newId() })).body.code).toBe('org.member_not_found');
    expect((await restore({ owner_id: viewer })).status).toBe(200);
    const [row] = await org.rows<{ role: string }>('select role from org.members where user_id = $1', [viewer]);
    expect(row?.role).toBe('owner');
    expect((await org.events(acme.id)).map(({ type }) => type).slice(-2)).toEqual([
      'org.ownership_transferred.v1',
      'org.organization_administered.v1',
    ]);
  });
});

test('the nightly clean-up keeps what ended as long as the organization says, ninety days by default', async () => {
  const [acme, keeper] = [await full(), await full()];
  await org.member(keeper, 'owner').patch(`/api/org/${keeper.id}/policies`, { retention_days: 365 });
  for (const one of [acme, keeper]) {
    const { body: keys } = await org.member(one, 'owner').get(`/api/org/${one.id}/api-keys`);
    await org.member(one, 'owner').delete(`/api/org/${one.id}/api-keys/${keys.data[0].id}`);
    const { body } = await org.member(one, 'owner').get(`/api/org/${one.id}/invitations`);
    await org.member(one, 'owner').delete(`/api/org/${one.id}/invitations/${body.data[0].id}`);
  }
  const left = async () => [
    await count('api_keys', acme),
    await count('invitations', acme),
    await count('api_keys', keeper),
    await count('invitations', keeper),
  ];
  await cleanUp(89);
  expect(await left()).toEqual([1, 1, 1, 1]);
  await cleanUp(91);
  expect(await left()).toEqual([0, 0, 1, 1]);
  await cleanUp(366);
  expect(await left()).toEqual([0, 0, 0, 0]);
  expect(await org.rows('select 1 from org.invitation_mails')).toEqual([]);
});
