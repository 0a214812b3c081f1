import { OrgRole } from '@gatehouse/contracts/permissions';
import { PLAN_LIMITS, requestsKey } from '@gatehouse/contracts/plans';
import { openPool } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

describe('the billing view', () => {
  test('plan, limits and what of them is used, each counted as it is enforced', async () => {
    const acme = await org.found();
    const owner = org.member(acme, 'owner');
    const invite = () =>
      owner.post(`/api/org/${acme.id}/invitations`, { email: `${newId()}@users.test`, role: 'viewer' });
    const [kept, withdrawn] = [await invite(), await invite()];
    await owner.delete(`/api/org/${acme.id}/invitations/${withdrawn.body.id}`);
    const key = await owner.post(`/api/org/${acme.id}/api-keys`, { name: 'ci' });
    expect([kept.status, key.status]).toEqual([201, 201]);
    const day = requestsKey(acme.id, org.clock().getTime() / 1000);
    await org.redis.client.hset(day, { one: '40', two: '2' });

    const { status, body } = await org.member(acme, 'billing').get(`/api/org/${acme.id}/billing`);

    expect([status, body]).toEqual([
      200,
      {
        plan: 'free',
        limits: PLAN_LIMITS.free,
        used: { members: 5, invitations: 1, api_keys: 1, requests_today: 42 },
      },
    ]);
    await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { plan: 'pro', reason: 'upgraded' });
    org.clock.advance(8 * 86_400_000);
    const later = await org.member(acme, 'billing').get(`/api/org/${acme.id}/billing`);
    expect(later.body).toMatchObject({
      plan: 'pro',
      limits: PLAN_LIMITS.pro,
      used: { invitations: 0, requests_today: 0 },
    });
  });

  test('F22: without Redis the requests of today are not known, and the rest is', async () => {
    const acme = await org.found();
    await org.redis.client.quit();
    try {
      const { status, body } = await org.member(acme, 'owner').get(`/api/org/${acme.id}/billing`);
      expect([status, body.used]).toEqual([200, { members: 5, invitations: 0, api_keys: 0, requests_today: null }]);
    } finally {
      await org.redis.client.connect();
    }
  });

  test('S076: it is for owners, admins and billing', async () => {
    const acme = await org.found();
    const statuses = await Promise.all(
      OrgRole.options.map(async (role) => (await org.member(acme, role).get(`/api/org/${acme.id}/billing`)).status),
    );
    expect(statuses).toEqual([200, 200, 403, 200, 403]);
  });
});

// Guards the full lock in org.admit_user: tried with the share lock that was there before, all were admitted.
test('S086: of 50 parallel admissions at a plan of ten members exactly ten are members', async () => {
  const acme = await org.found();
  const people = await Promise.all(Array.from({ length: 50 }, () => org.person()));
  const auth = openPool({ ...org.database.connection('auth'), max: 30, name: 'auth' });
  const outcomes = await Promise.all(
    people.map(({ id }) =>
      auth.pg.query(`select org.admit_user($1, false, $2, $3, 'viewer')`, [acme.members.admin, acme.id, id]).then(
        () => 'admitted',
        (error) => error.code,
      ),
    ),
  );
  await auth.end();
  expect(outcomes.filter((outcome) => outcome === 'admitted')).toHaveLength(5);
  expect(outcomes.filter((outcome) => outcome === 'GH409')).toHaveLength(45);
  expect(await org.rows('select 1 from org.members where org_id = $1', [acme.id])).toHaveLength(10);
});

test('an organization over its limits after a change of plan loses nobody and takes nobody in', async () => {
  const acme = await org.found();
  await org.rows(`update org.organizations set plan = 'pro' where id = $1`, [acme.id]);
  for (let i = 0; i < 8; i++) await org.addMember(acme.id, 'viewer');
  await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { plan: 'free', reason: 'downgraded' });
  const { body } = await org.member(acme, 'owner').get(`/api/org/${acme.id}/billing`);
  expect([body.used.members, body.limits.members]).toEqual([13, 10]);
  const { id } = await org.person();
  const admitted = org.database
    .pool('auth')
    .pg.query(`select org.admit_user($1, false, $2, $3, 'viewer')`, [acme.members.admin, acme.id, id]);
  await expect(admitted).rejects.toMatchObject({ code: 'GH409' });
});
