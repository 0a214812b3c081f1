import { createHash, randomBytes } from 'node:crypto';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { PLAN_LIMITS } from '@gatehouse/contracts/plans';
import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { outranks } from '../members/rules.ts';
import { startOrg, type TestOrg, type TestOrganization, type TestPerson } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const DAY_MS = 86_400_000;

/** An organization whose owner and admin have accounts, as all that invite do. */
async function found(): Promise<TestOrganization> {
  const acme = await org.found();
  await org.person({ id: acme.members.owner });
  await org.person({ id: acme.members.admin });
  return acme;
}

interface Offer {
  to: TestPerson;
  role?: OrgRole;
  by?: string;
  by_platform_admin?: boolean;
}

/** Written as the service writes it. */
async function invite(acme: TestOrganization, { to, role = 'viewer', by, by_platform_admin = false }: Offer) {
  const [id, token] = [newId(), randomBytes(32)];
  const hash = createHash('sha256').update(token).digest();
  await org.rows(
    `insert into org.invitations
       (id, org_id, email, role, inviter_id, by_platform_admin, token_hash, created_at, sent_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, now(), now(), now() + interval '7 days')`,
    [id, acme.id, to.email, role, by ?? acme.members.admin, by_platform_admin, hash],
  );
  return { id, hash };
}

const door = (text: string, values: unknown[]) =>
  org.database.pool('auth').pg.query(`select * from org.${text}`, values);
const accept = async (hash: Buffer, who: TestPerson, { email = who.email, now = org.clock() } = {}) =>
  door('accept_invitation($1, $2, $3, $4)', [hash, who.id, email, now]).then(
    ({ rows }) => rows,
    (error) => error.code,
  );
const memberships = ({ id }: TestOrganization, who: TestPerson) =>
  org.rows('select m.role, m.added_by from org.members m where m.org_id = $1 and m.user_id = $2', [id, who.id]);

describe('the doors for a registration by invitation', () => {
  test('an open invitation is found by its token, accepted once, and then is no more', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, hash } = await invite(acme, { to: ada, role: 'analyst' });

    const { rows } = await door('find_invitation($1, $2)', [hash, org.clock()]);
    expect(rows).toEqual([
      {
        id,
        org_id: acme.id,
        org_name: 'Acme',
        email: ada.email,
        role: 'analyst',
        inviter_id: acme.members.admin,
        expires_at: expect.any(Date),
      },
    ]);
    expect(await accept(hash, ada)).toEqual([{ org_id: acme.id, role: 'analyst' }]);
    expect(await memberships(acme, ada)).toEqual([{ role: 'analyst', added_by: acme.members.admin }]);
    expect((await door('find_invitation($1, $2)', [hash, org.clock()])).rows).toEqual([]);
    expect(await accept(hash, ada)).toBe('GH400');
  });

  test('S079 another address, another token and one past its time accept nothing', async () => {
    const [acme, ada, eve] = [await found(), await org.person(), await org.person()];
    const { hash } = await invite(acme, { to: ada });

    expect(await accept(hash, eve)).toBe('GH400');
    expect(await accept(randomBytes(32), ada)).toBe('GH400');
    expect(await accept(hash, ada, { now: new Date(org.clock().getTime() + 8 * DAY_MS) })).toBe('GH400');
    expect(await memberships(acme, ada)).toEqual([]);
    expect(await accept(hash, ada)).toHaveLength(1);
  });

  test.each(['suspended', 'deleted'])('nobody is admitted to a %s organization', async (status) => {
    const [acme, ada] = [await found(), await org.person()];
    const { hash } = await invite(acme, { to: ada });
    await org.rows(
      `update org.organizations set status = $2, deleted_at = case when $2 = 'deleted' then now() end where id = $1`,
      [acme.id, status],
    );
    expect((await door('find_invitation($1, $2)', [hash, org.clock()])).rows).toEqual([]);
    expect(await accept(hash, ada)).toBe('GH400');
  });

  test('the inviter must still have the right: rank, membership, account', async () => {
    const acme = await found();
    const outcome = async (change: string, values: unknown[], offer: Partial<Offer> = {}) => {
      const ada = await org.person();
      const { hash } = await invite(acme, { to: ada, ...offer });
      await org.rows(change, values);
      return accept(hash, ada);
    };
    const { admin } = acme.members;
    const setRole = `update org.members set role = $2 where user_id = $1`;
    const setStatus = `update auth.users set status = $2 where id = $1`;

    expect(await outcome(setRole, [admin, 'admin'], { role: 'owner' })).toBe('GH403');
    expect(await outcome(setRole, [admin, 'analyst'])).toBe('GH403');
    expect(await outcome(setRole, [admin, 'admin'])).toHaveLength(1);
    expect(await outcome(setStatus, [admin, 'disabled'])).toBe('GH403');
    expect(await outcome(setStatus, [admin, 'active'])).toHaveLength(1);
    expect(await outcome('delete from org.members where user_id = $1', [admin])).toBe('GH403');
  });

  test('an invitation by a platform admin stands as long as that is one', async () => {
    const [acme, root] = [await found(), await org.person({ role: 'admin' })];
    const [ada, ben] = [await org.person(), await org.person()];
    const first = await invite(acme, { to: ada, role: 'owner', by: root.id, by_platform_admin: true });
    const second = await invite(acme, { to: ben, by: root.id, by_platform_admin: true });
    expect(await accept(first.hash, ada)).toHaveLength(1);
    await org.rows(`update auth.users set role = 'user' where id = $1`, [root.id]);
    expect(await accept(second.hash, ben)).toBe('GH403');
  });

  test('places and mail domains are those of the moment of acceptance', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { hash } = await invite(acme, { to: ada });
    await org.rows(`update org.organizations set allowed_domains = '{example.test}' where id = $1`, [acme.id]);
    expect(await accept(hash, ada)).toBe('GH422');
    await org.rows(`update org.organizations set allowed_domains = '{users.test}' where id = $1`, [acme.id]);
    for (let i = 5; i < 10; i++) await org.addMember(acme.id, 'viewer');
    expect(await accept(hash, ada)).toBe('GH409');
    await org.rows(`update org.organizations set plan = 'pro' where id = $1`, [acme.id]);
    expect(await accept(hash, ada)).toHaveLength(1);
  });

  test('a member is not made one again', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { hash } = await invite(acme, { to: ada, role: 'owner', by: acme.members.owner });
    await org.addMember(acme.id, 'viewer', ada.id);
    expect(await accept(hash, ada)).toBe('GH423');
    expect(await memberships(acme, ada)).toEqual([{ role: 'viewer', added_by: null }]);
  });

  test('cancelled links are dead, and the invitations stand', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, hash } = await invite(acme, { to: ada });
    const { rows } = await door('cancel_invitation_links($1) as cancelled', [ada.email]);
    expect(rows).toEqual([{ cancelled: 1 }]);
    expect(await accept(hash, ada)).toBe('GH400');
    expect(await org.rows('select status, token_hash from org.invitations where id = $1', [id])).toEqual([
      { status: 'open', token_hash: null },
    ]);
  });
});

describe('the doors for accounts', () => {
  test('the requirements of a user are the strictest of the organizations', async () => {
    const ada = await org.person();
    const ask = async () => (await door('requirements_of($1)', [ada.id])).rows;
    expect(await ask()).toEqual([{ second_factor_required: false, session_max_seconds: null }]);
    const [one, two, gone] = [await org.found(), await org.found(), await org.found()];
    for (const { id } of [one, two, gone]) await org.addMember(id, 'viewer', ada.id);
    const set = (id: string, change: string) => org.rows(`update org.organizations set ${change} where id = $1`, [id]);
    await set(one.id, 'session_max_seconds = 3600');
    await set(two.id, 'session_max_seconds = 7200, require_second_factor = true');
    await set(gone.id, `session_max_seconds = 900, status = 'deleted', deleted_at = now()`);
    expect(await ask()).toEqual([{ second_factor_required: true, session_max_seconds: 3600 }]);
  });

  test('a sole owner is one whom others would be left without', async () => {
    const ada = await org.person();
    const ask = async () => (await door('sole_owner_of($1) as org_id', [ada.id])).rows;
    const [shared, sole, alone] = [await found(), await org.found(), newId()];
    await org.addMember(shared.id, 'owner', ada.id);
    await org.addMember(sole.id, 'owner', ada.id);
    await org.rows('delete from org.members where user_id = $1', [sole.members.owner]);
    await door('found_organization($1, $2, $3, $4)', [alone, 'Alone', `alone-${alone}`, ada.id]);
    expect(await ask()).toEqual([{ org_id: sole.id }]);
  });

  test('a forgotten user leaves; an admin inherits, and what nobody can own is deleted', async () => {
    const ada = await org.person();
    const [inherited, headless, alone] = [await found(), await org.found(), newId()];
    for (const { id, members } of [inherited, headless]) {
      await org.addMember(id, 'owner', ada.id);
      await org.rows('delete from org.members where user_id = $1', [members.owner]);
    }
    await org.rows('delete from org.members where user_id = $1', [headless.members.admin]);
    await door('found_organization($1, $2, $3, $4)', [alone, 'Alone', `alone-${alone}`, ada.id]);
    const other = await found();
    const invitation = await invite(other, { to: ada });

    await door('forget_user($1)', [ada.id]);

    expect(await org.rows('select 1 from org.members where user_id = $1', [ada.id])).toEqual([]);
    expect(
      await org.rows(`select user_id from org.members where org_id = $1 and role = 'owner'`, [inherited.id]),
    ).toEqual([{ user_id: inherited.members.admin }]);
    const states = await org.rows<{ status: string }>(
      'select status from org.organizations where id = any($1) order by array_position($1, id)',
      [[inherited.id, headless.id, alone]],
    );
    expect(states.map(({ status }) => status)).toEqual(['active', 'deleted', 'deleted']);
    expect((await org.events(inherited.id)).map(({ type }) => type)).toEqual([
      'org.member_left.v1',
      'org.member_role_changed.v1',
    ]);
    expect(await org.rows('select status from org.invitations where id = $1', [invitation.id])).toEqual([
      { status: 'cancelled' },
    ]);
    await door('forget_user($1)', [ada.id]);
  });

  test('S077: an admin whose account is shut out inherits nothing that another admin can have', async () => {
    const acme = await found();
    const [disabled, ada] = [await org.person({ status: 'disabled' }), await org.person()];
    await org.addMember(acme.id, 'admin', disabled.id);
    await org.rows(
      `update org.members set joined_at = joined_at - interval '1 year' where org_id = $1 and user_id = $2`,
      [acme.id, disabled.id],
    );
    await org.addMember(acme.id, 'owner', ada.id);
    await org.rows('delete from org.members where org_id = $1 and user_id = $2', [acme.id, acme.members.owner]);

    await door('forget_user($1)', [ada.id]);

    expect(await org.rows(`select user_id from org.members where org_id = $1 and role = 'owner'`, [acme.id])).toEqual([
      { user_id: acme.members.admin },
    ]);
  });

  test('the ranks and limits in SQL are those of the code', async () => {
    const limits = await org.rows<{ plan: string }>('select plan, members, invitations, api_keys from org.plan_limits');
    expect(Object.fromEntries(limits.map(({ plan, ...rest }) => [plan, rest]))).toEqual(
      Object.fromEntries(Object.entries(PLAN_LIMITS).map(([plan, { requests_per_day: _, ...rest }]) => [plan, rest])),
    );
    const pairs = OrgRole.options.flatMap((one) => OrgRole.options.map((other) => [one, other] as const));
    const { pg } = org.database.pool('admin');
    for (const [one, other] of pairs) {
      const { rows } = await pg.query('select org.rank_of($1) > org.rank_of($2) as above', [one, other]);
      expect([one, other, rows[0].above]).toEqual([one, other, outranks(one, other)]);
    }
  });

  test('whom others invite is nobody’s to read', async () => {
    for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const)
      for (const table of ['invitation_mails', 'plan_limits'])
        await expect(org.database.pool(role).pg.query(`select * from org.${table}`)).rejects.toMatchObject({
          code: '42501',
        });
    expect((await org.database.pool('org').pg.query('select 1 from org.invitations')).rows).toEqual([]);
    const acme = await found();
    await invite(acme, { to: await org.person() });
    const service = org.database.pool('org').pg;
    expect((await service.query('select 1 from org.invitations')).rows).toEqual([]);
    for (const change of [`email = 'x'`, `role = 'owner'`, 'org_id = id', 'accepted_by = id', 'created_at = now()'])
      await expect(service.query(`update org.invitations set ${change}`)).rejects.toMatchObject({ code: '42501' });
    await expect(service.query('delete from org.invitations')).rejects.toMatchObject({ code: '42501' });
  });

  test('each door is open to who needs it alone', async () => {
    const denied = { code: '42501' };
    const id = newId();
    const calls: [string, ('auth' | 'org')[]][] = [
      [`org.accept_invitation('\\x00', '${id}', 'a@b.test', now())`, ['auth']],
      [`org.cancel_invitation_links('a@b.test')`, ['auth']],
      [`org.requirements_of('${id}')`, ['auth']],
      [`org.sole_owner_of('${id}')`, ['auth']],
      [`org.forget_user('${id}')`, ['auth']],
      [`org.find_invitation('\\x00', now())`, ['auth', 'org']],
      [`org.admit_invited('${id}', null, '${id}', 'a@b.test', now())`, ['org']],
      [`org.decline_invitation('${id}', 'a@b.test', now())`, ['org']],
      [`org.is_invited('${id}', 'a@b.test')`, ['org']],
      [`org.list_invitations_to('a@b.test', now(), null, 1)`, ['org']],
      [`org.count_invitation_mail('a@b.test', now())`, ['org']],
      [`org.assert_place('${id}', 'a@b.test')`, []],
      [`org.tell('x', '${id}', 'x', '${id}', '{}')`, []],
      [`auth.find_verified_email('${id}')`, ['org']],
      [`auth.find_account('a@b.test')`, ['org']],
      [`auth.platform_role_of('${id}')`, []],
      [`auth.email_of('${id}')`, []],
      [`auth.hold_account('${id}', 'a@b.test')`, []],
    ];
    for (const [call, roles] of calls)
      for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const) {
        const answer = org.database.pool(role).pg.query(`select * from ${call}`);
        if ((roles as string[]).includes(role)) await answer.catch((error) => expect(error.code).toMatch(/^GH/));
        else await expect(answer).rejects.toMatchObject(denied);
      }
  });
});
