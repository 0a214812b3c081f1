import type { OrgRole } from '@gatehouse/contracts/permissions';
import { newId } from '@gatehouse/kit/ids';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization, type TestPerson, tally } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg({ instances: 2 });
});
afterAll(() => org.close());

const DAY_MS = 86_400_000;
const codes = (answers: { status: number; body: { code?: string } | undefined }[]) =>
  answers.map(({ status, body }) => `${status} ${body?.code ?? ''}`.trim());

/** An organization whose owner and admin have accounts. */
async function found(): Promise<TestOrganization> {
  const acme = await org.found();
  for (const role of ['owner', 'admin'] as const) await org.person({ id: acme.members[role] });
  return acme;
}

async function invited(acme: TestOrganization, email: string, role: OrgRole = 'viewer', by: OrgRole = 'admin') {
  const { status, body } = await org.member(acme, by).post(`/api/org/${acme.id}/invitations`, { email, role });
  expect(status).toBe(201);
  const token = (await org.mails(email)).at(-1)?.token as string;
  return { id: body.id as string, token };
}

const as = ({ id, role }: Pick<TestPerson, 'id' | 'role'>, at = org.instances[0]) => org.as({ sub: id, role }, at);
const accept = (who: TestPerson, token: string, at = org.instances[0]) =>
  as(who, at).post('/api/invitations/accept', { token });
const memberships = ({ id }: TestOrganization, who: TestPerson) =>
  org.rows<{ role: string }>('select m.role from org.members m where m.org_id = $1 and m.user_id = $2', [id, who.id]);
const outbox = () =>
  org.rows<{ type: string; outcome: string }>(
    'select type, outcome, data from events.outbox order by position desc limit 1',
  );

describe('the preview of a link', () => {
  const preview = (body: unknown) => org.as({ kind: 'anonymous' }).post('/api/invitations/preview', body);

  test('it tells organization and role, the address masked, and whether an account is needed', async () => {
    const acme = await found();
    const ada = await org.person();
    const guest = await org.person({ role: 'guest', verified: false });
    const nobody = `n${newId()}@users.test`;
    const links = await Promise.all([ada.email, guest.email, nobody].map((email) => invited(acme, email, 'analyst')));
    const previews = await Promise.all(links.map(({ token }) => preview({ token })));
    expect(previews.map(({ status, body }) => [status, body.account_needed])).toEqual([
      [200, false],
      [200, true],
      [200, true],
    ]);
    expect(previews[2]?.body).toEqual({
      organization: 'Acme',
      role: 'analyst',
      email: 'n***@users.test',
      account_needed: true,
      expires_at: new Date(org.clock().getTime() + 7 * DAY_MS).toISOString(),
    });
  });

  test('S028: whatever is wrong with a token, the answer is one', async () => {
    const acme = await found();
    const email = `${newId()}@users.test`;
    const expired = await invited(acme, email);
    org.clock.advance(7 * DAY_MS);
    const withdrawn = await invited(acme, `${newId()}@users.test`);
    await org.member(acme, 'owner').delete(`/api/org/${acme.id}/invitations/${withdrawn.id}`);
    const live = await invited(acme, `${newId()}@users.test`);
    const flipped = (live.token[0] === 'A' ? 'B' : 'A') + live.token.slice(1);
    const tokens = ['', 'x', flipped, `${live.token}=`, ` ${live.token}`, live.id, expired.token, withdrawn.token];
    const answers = await Promise.all(tokens.map((token) => preview({ token })));
    const bodies = new Set(
      answers.map(({ status, body: { request_id: _, ...body } }) => JSON.stringify([status, body])),
    );
    expect([...bodies]).toHaveLength(1);
    expect(codes(answers.slice(0, 1))).toEqual(['400 invitation.not_valid']);
    for (const more of [{ org_id: acme.id }, { email: 'eve@users.test' }, { role: 'owner' }])
      expect((await preview({ token: live.token, ...more })).status).toBe(400);
    for (const token of [null, 1, ['x'], { $gt: '' }]) expect((await preview({ token })).status).toBe(400);
  });
});

describe('accepting by the link', () => {
  test('the membership, its facts and its events come together', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, token } = await invited(acme, ada.email, 'analyst');
    await org.gateway().get(`/internal/guard/${acme.id}/${ada.id}`);

    const answer = await accept(ada, token);

    expect([answer.status, answer.body]).toEqual([200, { org_id: acme.id, role: 'analyst' }]);
    expect(await memberships(acme, ada)).toEqual([{ role: 'analyst' }]);
    const guard = await org.gateway().get(`/internal/guard/${acme.id}/${ada.id}`);
    expect(guard.body.member).toEqual({ role: 'analyst' });
    expect((await org.events(acme.id)).slice(-2)).toMatchObject([
      {
        type: 'org.invitation_accepted.v1',
        actor: { user_id: ada.id },
        data: { invitation_id: id, user_id: ada.id, role: 'analyst' },
      },
      { type: 'org.member_added.v1', data: { user_id: ada.id, role: 'analyst' } },
    ]);
    const { body } = await org.member(acme, 'owner').get(`/api/org/${acme.id}/invitations?status=accepted`);
    expect(body.data).toMatchObject([{ id, status: 'accepted', accepted_by: ada.id }]);
  });

  test('S079: another address, an unverified one, expired, revoked, used', async () => {
    const acme = await found();
    const [ada, eve] = [await org.person(), await org.person()];
    const guest = await org.person({ role: 'guest', verified: false });
    const unproved = await org.person({ verified: false });
    const link = await invited(acme, ada.email);
    expect(codes([await accept(eve, link.token)])).toEqual(['403 invitation.other_address']);
    for (const who of [guest, unproved]) {
      const own = await invited(acme, who.email);
      const byId = await as(who).post(`/api/invitations/${own.id}/accept`);
      expect(codes([await accept(who, own.token)])).toEqual(['403 access.denied']);
      expect([403, 404]).toContain(byId.status);
      expect((await as(who).get('/api/invitations')).body.data).toEqual([]);
      expect(await memberships(acme, who)).toEqual([]);
    }
    expect(codes([await accept(ada, link.token), await accept(ada, link.token)])).toEqual([
      '200',
      '400 invitation.not_valid',
    ]);
    expect(await outbox()).toMatchObject([
      { type: 'org.invitation_refused.v1', outcome: 'denied', data: { reason: 'invitation.not_valid' } },
    ]);

    const revoked = await invited(acme, eve.email);
    await org.member(acme, 'owner').delete(`/api/org/${acme.id}/invitations/${revoked.id}`);
    const expired = await invited(acme, eve.email);
    org.clock.advance(7 * DAY_MS);
    const answers = [await accept(eve, revoked.token), await accept(eve, expired.token)];
    answers.push(await as(eve).post(`/api/invitations/${expired.id}/accept`));
    expect(codes(answers)).toEqual(Array(3).fill('400 invitation.not_valid'));
    expect(await memberships(acme, eve)).toEqual([]);
  });

  test('S028: the token of one invitation accepts no other, whatever else is sent', async () => {
    const acme = await found();
    const [ada, eve] = [await org.person(), await org.person()];
    const link = await invited(acme, ada.email);
    const other = await invited(acme, eve.email, 'owner', 'owner');
    for (const more of [{ org_id: acme.id }, { email: eve.email }, { role: 'owner' }, { invitation_id: other.id }])
      expect((await as(ada).post('/api/invitations/accept', { token: link.token, ...more })).status).toBe(400);
    expect((await accept(ada, other.token)).status).toBe(403);
    expect((await as(ada).post(`/api/invitations/${other.id}/accept`)).status).toBe(404);
    expect(await memberships(acme, ada)).toEqual([]);
  });

  // Guards the statement in org.admit_invited that uses the invitation up: tried without its condition on the state, it
  // was accepted again.
  test('S079: of ten parallel acceptances over two instances one makes the one membership', async () => {
    for (let round = 0; round < 5; round++) {
      const [acme, ada] = [await found(), await org.person()];
      const { id, token } = await invited(acme, ada.email);
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          i % 3 === 0
            ? as(ada, org.instances[i % 2]).post(`/api/invitations/${id}/accept`)
            : accept(ada, token, org.instances[i % 2]),
        ),
      );
      expect(tally(answers)).toEqual({ 200: 1, '400 invitation.not_valid': 9 });
      expect(await memberships(acme, ada)).toHaveLength(1);
      const added = (await org.events(acme.id)).filter(({ type }) => type === 'org.member_added.v1');
      expect(added).toHaveLength(1);
    }
  });

  test.each(['patch', 'delete'] as const)(
    'an inviter who was demoted or removed (%s) invites nobody',
    async (method) => {
      const [acme, ada] = [await found(), await org.person()];
      const { id, token } = await invited(acme, ada.email);
      const member = `/api/org/${acme.id}/members/${acme.members.admin}`;
      const owner = org.member(acme, 'owner');
      await (method === 'patch' ? owner.patch(member, { role: 'analyst' }) : owner.delete(member));
      const answers = [await accept(ada, token), await as(ada).post(`/api/invitations/${id}/accept`)];
      expect(codes(answers)).toEqual(Array(2).fill('403 invitation.void'));
      expect(await memberships(acme, ada)).toEqual([]);
    },
  );

  test('an owner made admin gives no ownership away by an older invitation, but what an admin may give', async () => {
    const acme = await found();
    const [ada, ben] = [await org.person(), await org.person()];
    const above = await invited(acme, ada.email, 'owner', 'owner');
    const below = await invited(acme, ben.email, 'admin', 'owner');
    await org.member(acme, 'owner').post(`/api/org/${acme.id}/transfer-ownership`, { user_id: acme.members.admin });
    expect(codes([await accept(ada, above.token), await accept(ben, below.token)])).toEqual([
      '403 invitation.void',
      '200',
    ]);
  });

  test('an inviter whose account is disabled or deleted invites nobody', async () => {
    for (const status of ['disabled', 'deleted']) {
      const [acme, ada] = [await found(), await org.person()];
      const { token } = await invited(acme, ada.email);
      await org.rows('update auth.users set status = $2 where id = $1', [acme.members.admin, status]);
      expect(codes([await accept(ada, token)])).toEqual(['403 invitation.void']);
    }
  });

  // Guards the lock of the organization's row in org.admit_invited: without it the acceptance does not wait for the
  // demotion, sees the old role, and this test waits for it in vain.
  test('an inviter who is being demoted is a demoted one', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { token } = await invited(acme, ada.email);
    const demotion = await org.database.pool('admin').pg.connect();
    await demotion.query('begin');
    await demotion.query('select 1 from org.organizations where id = $1 for no key update', [acme.id]);
    await demotion.query(`update org.members set role = 'viewer' where user_id = $1`, [acme.members.admin]);
    const answer = accept(ada, token);
    await eventually(async () => {
      const waiting = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%admit_invited%'`;
      return (await org.rows(`${waiting} and datname = current_database()`)).length > 0;
    });
    await demotion.query('commit');
    demotion.release();
    expect(codes([await answer])).toEqual(['403 invitation.void']);
  });

  test('nobody who was removed comes back by an older invitation', async () => {
    for (const way of ['door', 'list', 'left'] as const) {
      const [acme, ada] = [await found(), await org.person()];
      const { id, token } = await invited(acme, ada.email, 'admin');
      if (way === 'door')
        await org.database
          .pool('auth')
          .pg.query(`select org.admit_user($1, false, $2, $3, 'viewer')`, [acme.members.owner, acme.id, ada.id]);
      else await org.addMember(acme.id, 'viewer', ada.id);
      const member = { sub: ada.id, org: { id: acme.id, role: 'viewer' as const } };
      const gone =
        way === 'left'
          ? await org.as(member).post(`/api/org/${acme.id}/leave`)
          : await org.member(acme, 'owner').delete(`/api/org/${acme.id}/members/${ada.id}`);
      expect(gone.status).toBe(204);
      const answers = [await accept(ada, token), await as(ada).post(`/api/invitations/${id}/accept`)];
      expect(codes(answers)).toEqual(Array(2).fill('400 invitation.not_valid'));
      expect(await memberships(acme, ada)).toEqual([]);
    }
  });

  // Guards the lock of the account in org.admit_invited: without it a deleted user becomes a member.
  test('accepted while the account is being deleted: no member without an account', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, token } = await invited(acme, ada.email);
    const deletion = await org.database.pool('admin').pg.connect();
    await deletion.query('begin');
    await deletion.query('select 1 from auth.users where id = $1 for update', [ada.id]);
    await deletion.query('select org.forget_user($1)', [ada.id]);
    await deletion.query(`update auth.users set status = 'deleted' where id = $1`, [ada.id]);
    const answers = [accept(ada, token), as(ada).post(`/api/invitations/${id}/accept`)];
    await eventually(async () => {
      const waiting = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%admit_invited%'`;
      return (await org.rows(`${waiting} and datname = current_database()`)).length === 2;
    });
    await deletion.query('commit');
    deletion.release();
    expect(codes(await Promise.all(answers))).toEqual(Array(2).fill('400 invitation.not_valid'));
    expect(await memberships(acme, ada)).toEqual([]);
  });

  test('withdrawn while accepting: either the one or the other', async () => {
    for (let round = 0; round < 10; round++) {
      const [acme, ada] = [await found(), await org.person()];
      const { id, token } = await invited(acme, ada.email);
      const [accepted, withdrawn] = await Promise.all([
        accept(ada, token),
        org.member(acme, 'owner', org.instances[1]).delete(`/api/org/${acme.id}/invitations/${id}`),
      ]);
      expect([
        ['200', '400 invitation.not_valid'],
        ['400 invitation.not_valid', '204'],
      ]).toContainEqual(codes([accepted, withdrawn]));
      expect(await memberships(acme, ada)).toHaveLength(accepted.status === 200 ? 1 : 0);
    }
  });

  test('accepted while the organization is being deleted: never into a deleted one', async () => {
    for (let round = 0; round < 10; round++) {
      const [acme, ada] = [await found(), await org.person()];
      const { token } = await invited(acme, ada.email);
      const [accepted, deleted] = await Promise.all([
        accept(ada, token),
        org.member(acme, 'owner', org.instances[1]).delete(`/api/org/${acme.id}`),
      ]);
      expect(deleted.status).toBe(204);
      expect(['200', '400 invitation.not_valid']).toContain(codes([accepted])[0]);
      expect(codes([await accept(ada, token)])).toEqual(['400 invitation.not_valid']);
      expect((await as(ada).get('/api/orgs')).body.data).toEqual([]);
    }
  });

  test('a suspended organization takes nobody in, and afterwards it does', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, token } = await invited(acme, ada.email);
    const decide = (status: string) =>
      org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { status, reason: 'test' });
    await decide('suspended');
    const answers = [await accept(ada, token), await as(ada).post(`/api/invitations/${id}/accept`)];
    expect(codes(answers)).toEqual(Array(2).fill('400 invitation.not_valid'));
    expect((await as(ada).get('/api/invitations')).body.data).toEqual([]);
    await decide('active');
    expect((await accept(ada, token)).status).toBe(200);
  });

  // Guards the count under the lock in org.admit_invited: tried without the lock, more than ten became members.
  test('S086: of 50 parallel acceptances at a plan of ten members exactly ten are members', async () => {
    const acme = await org.found();
    await org.person({ id: acme.members.owner });
    await org.rows(`update org.organizations set plan = 'pro' where id = $1`, [acme.id]);
    const people = await Promise.all(Array.from({ length: 50 }, () => org.person()));
    const links = await Promise.all(people.map(({ email }) => invited(acme, email, 'viewer', 'owner')));
    await org.rows(`update org.organizations set plan = 'free' where id = $1`, [acme.id]);

    const answers = await Promise.all(
      people.map((who, i) => accept(who, links[i]?.token as string, org.instances[i % 2])),
    );

    expect(tally(answers)).toEqual({ 200: 5, '409 org.member_limit_reached': 45 });
    expect(await org.rows('select 1 from org.members where org_id = $1', [acme.id])).toHaveLength(10);
    const open = await org.rows(`select 1 from org.invitations where org_id = $1 and status = 'open'`, [acme.id]);
    expect(open).toHaveLength(45);
  });

  test('a mail domain that is no more admitted is refused, a member is not made one again', async () => {
    const acme = await found();
    const [ada, ben] = [await org.person(), await org.person()];
    const [first, second] = [await invited(acme, ada.email), await invited(acme, ben.email, 'admin')];
    await org.member(acme, 'owner').patch(`/api/org/${acme.id}/policies`, { allowed_domains: ['example.test'] });
    expect(codes([await accept(ada, first.token)])).toEqual(['403 org.domain_refused']);
    await org.member(acme, 'owner').patch(`/api/org/${acme.id}/policies`, { allowed_domains: [] });
    await org.addMember(acme.id, 'viewer', ben.id);
    expect(codes([await accept(ben, second.token)])).toEqual(['409 org.member_exists']);
    expect(await memberships(acme, ben)).toEqual([{ role: 'viewer' }]);
  });
});

describe('one’s own list', () => {
  test('it holds the open invitations to the proved address, page by page, and to nobody else’s', async () => {
    const [ada, eve] = [await org.person(), await org.person()];
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await invited(await found(), ada.email, 'billing')).id);
    await invited(await found(), eve.email);
    const first = await as(ada).get('/api/invitations?limit=2');
    expect(first.body.data[0]).toEqual({
      id: ids[0],
      org_id: expect.any(String),
      organization: 'Acme',
      role: 'billing',
      note: null,
      inviter_id: expect.any(String),
      created_at: expect.any(String),
      expires_at: expect.any(String),
    });
    const cursor = encodeURIComponent(first.body.next_cursor);
    const rest = await as(ada).get(`/api/invitations?cursor=${cursor}`);
    expect([...first.body.data, ...rest.body.data].map(({ id }) => id)).toEqual(ids);
    expect((await as(eve).get(`/api/invitations?cursor=${cursor}`)).status).toBe(400);
    expect((await as(ada).get(`/api/invitations?email=${eve.email}`)).status).toBe(400);
  });

  test('one is accepted or declined by its id; declined is for good', async () => {
    const [acme, other, ada] = [await found(), await found(), await org.person()];
    const [yes, no] = [await invited(acme, ada.email), await invited(other, ada.email)];
    const answers = [
      await as(ada).post(`/api/invitations/${yes.id}/accept`),
      await as(ada).post(`/api/invitations/${no.id}/decline`),
      await as(ada).post(`/api/invitations/${no.id}/decline`),
      await as(ada).post(`/api/invitations/${no.id}/accept`),
      await accept(ada, no.token),
    ];
    expect(codes(answers)).toEqual(['200', '204', ...Array(3).fill('400 invitation.not_valid')]);
    expect((await as(ada).get('/api/invitations')).body.data).toEqual([]);
    expect((await org.events(other.id)).at(-1)).toMatchObject({
      type: 'org.invitation_declined.v1',
      actor: { user_id: ada.id },
      data: { invitation_id: no.id },
    });
  });

  test('to everybody else there is no such invitation, and the two answers are the same', async () => {
    const [acme, ada, eve] = [await found(), await org.person(), await org.person()];
    const { id } = await invited(acme, ada.email);
    for (const action of ['accept', 'decline']) {
      const [real, invented] = [
        await as(eve).post(`/api/invitations/${id}/${action}`),
        await as(eve).post(`/api/invitations/${newId()}/${action}`),
      ];
      const { request_id: _, ...body } = real.body;
      expect([real.status, body]).toEqual([404, expect.objectContaining({ code: 'invitation.not_found' })]);
      expect(invented.body).toMatchObject(body);
    }
    expect((await as(ada).post(`/api/invitations/${id}/accept`)).status).toBe(200);
  });

  test('an address that changed loses the invitations to the old one', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, token } = await invited(acme, ada.email);
    await org.rows('update auth.users set email = $2 where id = $1', [ada.id, `new-${ada.email}`]);
    expect(codes([await accept(ada, token), await as(ada).post(`/api/invitations/${id}/accept`)])).toEqual([
      '403 invitation.other_address',
      '404 invitation.not_found',
    ]);
  });

  test('after a reset the mailed link is dead, and who signs in can still accept', async () => {
    const [acme, ada] = [await found(), await org.person()];
    const { id, token } = await invited(acme, ada.email);
    await org.database.pool('auth').pg.query('select org.cancel_invitation_links($1)', [ada.email]);
    expect(codes([await accept(ada, token), await as(ada).post(`/api/invitations/${id}/accept`)])).toEqual([
      '400 invitation.not_valid',
      '200',
    ]);
  });
});
