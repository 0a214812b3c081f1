import { OrgRole } from '@gatehouse/contracts/permissions';
import { newId } from '@gatehouse/kit/ids';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg } from './testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const roleOf = async (orgId: string, userId: string) =>
  (
    await org.rows<{ role: string }>('select role from org.members where org_id = $1 and user_id = $2', [orgId, userId])
  )[0]?.role;

describe('the doors for auth', () => {
  const door = (name: string, values: unknown[]) =>
    org.database.pool('auth').pg.query(`select org.${name} as answer`, values);
  const mayAdmit = async (actor: string, admin: boolean, orgId: string) =>
    (await door('may_admit($1, $2, $3)', [actor, admin, orgId])).rows[0].answer;

  test('owners, admins and platform admins may admit, others are denied, strangers learn nothing', async () => {
    const acme = await org.found();
    const answers = await Promise.all(OrgRole.options.map((role) => mayAdmit(acme.members[role], false, acme.id)));
    expect(answers).toEqual(['ok', 'ok', 'denied', 'denied', 'denied']);
    expect(await mayAdmit(newId(), false, acme.id)).toBe('not_found');
    expect(await mayAdmit(newId(), true, acme.id)).toBe('ok');
    expect(await mayAdmit(newId(), true, newId())).toBe('not_found');
    await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { status: 'suspended', reason: 'abuse' });
    expect(await mayAdmit(acme.members.owner, false, acme.id)).toBe('denied');
  });

  test('a user is admitted with at most the role of who admits', async () => {
    const acme = await org.found();
    const admit = (actor: string, user: string, role: string) =>
      door('admit_user($1, false, $2, $3, $4)', [actor, acme.id, user, role]);
    const user = newId();

    await admit(acme.members.admin, user, 'viewer');

    expect(await roleOf(acme.id, user)).toBe('viewer');
    await expect(admit(acme.members.admin, newId(), 'owner')).rejects.toMatchObject({ code: 'GH403' });
    await expect(admit(acme.members.viewer, newId(), 'viewer')).rejects.toMatchObject({ code: 'GH403' });
    await expect(admit(newId(), newId(), 'viewer')).rejects.toMatchObject({ code: 'GH404' });
    await expect(admit(acme.members.admin, user, 'viewer')).rejects.toMatchObject({ constraint: 'members_pkey' });
  });

  // Guards the share lock in org.admit_user: without it the admission does not wait, and this test for it in vain.
  test('whoever is demoted meanwhile admits nobody', async () => {
    const acme = await org.found();
    const [demotion, admission] = [await org.database.pool('admin').pg.connect(), newId()];
    await demotion.query('begin');
    await demotion.query('select 1 from org.organizations where id = $1 for no key update', [acme.id]);
    await demotion.query(`update org.members set role = 'viewer' where org_id = $1 and user_id = $2`, [
      acme.id,
      acme.members.admin,
    ]);
    const admitted = door(`admit_user($1, false, $2, $3, 'viewer')`, [acme.members.admin, acme.id, admission]).then(
      () => 'admitted',
      (error) => error.code,
    );
    await eventually(async () => {
      const waiting = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%admit_user%'`;
      return (await org.rows(`${waiting} and datname = current_database()`)).length > 0;
    });
    await demotion.query('commit');
    demotion.release();

    expect(await admitted).toBe('GH403');
  });

  test('only auth has the doors, and it has nothing else of the schema', async () => {
    const acme = await org.found();
    const denied = { code: '42501' };
    const audit = org.database.pool('audit').pg;
    await expect(audit.query('select org.may_admit($1, true, $1)', [acme.id])).rejects.toMatchObject(denied);
    await expect(org.database.pool('auth').pg.query('select * from org.members')).rejects.toMatchObject(denied);
    await expect(org.database.pool('org').pg.query('delete from org.organizations')).rejects.toMatchObject(denied);
    await expect(
      org.database.pool('org').pg.query(`select org.admit_user($1, true, $1, $1, 'owner')`, [acme.id]),
    ).rejects.toMatchObject(denied);
  });

  test('decision 3.16: without an organization named the service sees no row, with one named only its own', async () => {
    const [acme, other] = [await org.found(), await org.found()];
    const { pg } = org.database.pool('org');
    for (const table of ['organizations', 'members', 'api_keys'])
      expect((await pg.query(`select 1 from org.${table}`)).rows).toEqual([]);
    const connection = await pg.connect();
    await connection.query('begin');
    await connection.query(`select set_config('gatehouse.org_id', $1, true)`, [acme.id]);
    const seen = await connection.query('select distinct org_id from org.members');
    const moved = connection.query('insert into org.members (org_id, user_id, role) values ($1, $1, $2)', [
      other.id,
      'owner',
    ]);
    await expect(moved).rejects.toMatchObject({ code: '42501' });
    await connection.query('rollback');
    connection.release();
    expect(seen.rows).toEqual([{ org_id: acme.id }]);
  });
});
