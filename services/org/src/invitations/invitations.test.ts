import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization, tally } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg({ instances: 2 });
});
afterAll(() => org.close());

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const path = ({ id }: TestOrganization, rest = '') => `/api/org/${id}/invitations${rest}`;
const address = () => `${newId()}@users.test`;
const codes = (answers: { status: number; body: { code?: string } | undefined }[]) =>
  answers.map(({ status, body }) => `${status} ${body?.code ?? ''}`.trim());
const stale = () => Math.floor(Date.now() / 1000) - 700;

describe('inviting', () => {
  test('the invitation, its mail with the token sealed, and the event come together', async () => {
    const acme = await org.found();
    const inviter = await org.person({ id: acme.members.admin });
    const email = address();

    const answer = await org.member(acme, 'admin').post(path(acme), { email, role: 'analyst', note: ' Welcome! ' });

    expect(answer.status).toBe(201);
    const expires_at = new Date(org.clock().getTime() + 7 * DAY_MS).toISOString();
    expect(answer.body).toEqual({
      id: expect.any(String),
      email,
      role: 'analyst',
      note: 'Welcome!',
      status: 'pending',
      inviter_id: inviter.id,
      created_at: org.clock().toISOString(),
      sent_at: org.clock().toISOString(),
      expires_at,
      ended_at: null,
      accepted_by: null,
    });
    expect(await org.mails(email)).toEqual([
      {
        template: 'invitation',
        to: email,
        params: { organization: 'Acme', inviter: 'Uma User', role: 'analyst', note: 'Welcome!', until: expires_at },
        expires_at,
        token: expect.stringMatching(/^[\w-]{43}$/),
      },
    ]);
    const [mail] = await org.mails(email);
    expect((await org.events(acme.id)).at(-1)).toMatchObject({
      type: 'org.invitation_created.v1',
      kind: 'security',
      actor: { user_id: acme.members.admin },
      data: { invitation_id: answer.body.id, email: `${email.slice(0, 1)}***@users.test`, role: 'analyst' },
    });
    // Nowhere but in the sealed secret of the mail.
    const all = await org.rows(
      `select (select jsonb_agg(to_jsonb(i)) from org.invitations i) as invitations,
              (select jsonb_agg(to_jsonb(o)) from events.outbox o) as events,
              (select jsonb_agg(j.payload) from events.jobs j) as jobs`,
    );
    expect(JSON.stringify(all)).not.toContain(mail?.token);
    const [row] = await org.rows<{ hash: string }>(
      `select encode(token_hash, 'hex') as hash from org.invitations where id = $1`,
      [answer.body.id],
    );
    expect(row?.hash).toHaveLength(64);
  });

  test('a repeated request with the same Idempotency-Key invites and mails once', async () => {
    const acme = await org.found();
    const [email, key] = [address(), { 'idempotency-key': newId() }];
    const first = await org.member(acme, 'owner').post(path(acme), { email, role: 'viewer' }, key);
    const again = await org.member(acme, 'owner').post(path(acme), { email, role: 'viewer' }, key);
    expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
    expect(await org.mails(email)).toHaveLength(1);
  });

  test.each([
    ['  %s ', (email: string) => `  ${email} `],
    ['upper case', (email: string) => email.toUpperCase()],
    ['full width', (email: string) => email.replace('u', 'ｕ')],
  ])('S015 one address has one invitation, however it is written: %s', async (_, write) => {
    const acme = await org.found();
    const email = `u.${newId()}@users.test`;
    const first = await org.member(acme, 'owner').post(path(acme), { email, role: 'viewer' });
    const again = await org.member(acme, 'admin').post(path(acme), { email: write(email), role: 'admin' });
    expect(codes([first, again])).toEqual(['201', '409 invitation.pending']);
    expect(await org.mails(email)).toHaveLength(1);
  });

  test.each([
    ['no address', { role: 'viewer' }],
    ['two addresses', { email: ['a@users.test', 'b@users.test'], role: 'viewer' }],
    ['two addresses in one', { email: 'a@users.test,b@users.test', role: 'viewer' }],
    ['a header in the address', { email: 'a@users.test\r\nBcc: b@users.test', role: 'viewer' }],
    ['a display name', { email: 'Ada <a@users.test>', role: 'viewer' }],
    ['NUL in the address', { email: 'a\u0000@users.test', role: 'viewer' }],
    ['no role', { email: 'a@users.test' }],
    ['a platform role', { email: 'a@users.test', role: 'platform_admin' }],
    ['upper case', { email: 'a@users.test', role: 'OWNER' }],
    ['a blank behind the role', { email: 'a@users.test', role: 'owner ' }],
    ['two roles', { email: 'a@users.test', role: ['viewer', 'owner'] }],
    ['__proto__ as role', { email: 'a@users.test', role: '__proto__' }],
    ['a header in the note', { email: 'a@users.test', role: 'viewer', note: 'x\r\nBcc: b@users.test' }],
    ['a long note', { email: 'a@users.test', role: 'viewer', note: 'x'.repeat(501) }],
    ['an organization', { email: 'a@users.test', role: 'viewer', org_id: newId() }],
    ['an inviter', { email: 'a@users.test', role: 'viewer', inviter_id: newId() }],
    ['a token', { email: 'a@users.test', role: 'viewer', token: 'x' }],
    ['a term', { email: 'a@users.test', role: 'viewer', expires_at: '9999-12-31T00:00:00Z' }],
  ])('S018 S023 S077: %s is refused', async (_, body) => {
    const acme = await org.found();
    const answer = await org.member(acme, 'owner').post(path(acme), body);
    expect(codes([answer])).toEqual(['400 request.invalid']);
    expect(await org.rows('select 1 from org.invitations where org_id = $1', [acme.id])).toEqual([]);
  });

  test('S077: nobody invites above their own role, and as owner only with a fresh proof', async () => {
    const acme = await org.found();
    const { admin, owner } = acme.members;
    const offer = () => ({ email: address(), role: 'owner' });
    const late = org.as({ sub: owner, org: { id: acme.id, role: 'owner' }, auth_time: stale() });
    const answers = [
      await org.as({ sub: admin, org: { id: acme.id, role: 'admin' } }).post(path(acme), offer()),
      await late.post(path(acme), offer()),
      await late.post(path(acme), { ...offer(), role: 'admin' }),
      await org.member(acme, 'owner').post(path(acme), offer()),
    ];
    expect(codes(answers)).toEqual(['403 org.role_above_own', '403 auth.reauth_required', '201', '201']);
  });

  test('S033: who was demoted a moment ago invites nobody', async () => {
    const acme = await org.found();
    const client = org.member(acme, 'admin');
    await org.member(acme, 'owner').patch(`/api/org/${acme.id}/members/${acme.members.admin}`, { role: 'viewer' });
    expect(codes([await client.post(path(acme), { email: address(), role: 'viewer' })])).toEqual(['403 access.denied']);
  });

  test('a member is not invited, nor does anybody invite themselves', async () => {
    const acme = await org.found();
    const [owner, viewer] = [
      await org.person({ id: acme.members.owner }),
      await org.person({ id: acme.members.viewer, verified: false }),
    ];
    const client = org.member(acme, 'owner');
    const answers = [
      await client.post(path(acme), { email: owner.email, role: 'viewer' }),
      await client.post(path(acme), { email: ` ${viewer.email.toUpperCase()}`, role: 'admin' }),
    ];
    expect(codes(answers)).toEqual(Array(2).fill('409 org.member_exists'));
  });

  test('nobody is invited to an organization that is suspended or deleted', async () => {
    for (const [status, expected] of [
      ['suspended', '403 org.suspended'],
      ['deleted', '404 org.not_found'],
    ]) {
      const acme = await org.found();
      await org.rows(
        `update org.organizations set status = $2, deleted_at = case when $2 = 'deleted' then now() end where id = $1`,
        [acme.id, status],
      );
      const answer = await org.member(acme, 'owner').post(path(acme), { email: address(), role: 'viewer' });
      expect(codes([answer])).toEqual([expected]);
    }
  });

  // Guards the count under the lock of writeIn: tried without the lock, more than ten were made.
  test('S086: of 50 parallel invitations over two instances exactly ten are made', async () => {
    const acme = await org.found();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        org.member(acme, 'owner', org.instances[i % 2]).post(path(acme), { email: address(), role: 'viewer' }),
      ),
    );
    expect(tally(answers)).toEqual({ 201: 10, '409 invitation.limit_reached': 40 });
    expect(await org.rows('select 1 from org.invitations where org_id = $1', [acme.id])).toHaveLength(10);
  });

  test('of twenty parallel invitations to one address one is made, and one mail', async () => {
    const acme = await org.found();
    const email = address();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        org.member(acme, 'owner', org.instances[i % 2]).post(path(acme), { email, role: 'viewer' }),
      ),
    );
    expect(tally(answers)).toEqual({ 201: 1, '409 invitation.pending': 19 });
    expect(await org.mails(email)).toHaveLength(1);
  });

  test('withdrawing makes no room for endless invitations of a day', async () => {
    const acme = await org.found();
    const client = org.member(acme, 'owner');
    for (let i = 0; i < 50; i++) {
      const { body } = await client.post(path(acme), { email: address(), role: 'viewer' });
      expect((await client.delete(path(acme, `/${body.id}`))).status).toBe(204);
    }
    const answer = await client.post(path(acme), { email: address(), role: 'viewer' });
    expect(codes([answer])).toEqual(['429 rate_limited']);
    expect(answer.headers.get('retry-after')).toBe('3600');
  });
});

describe('S063: mails to an address', () => {
  test('three an hour, whichever organizations send them, and each of them counted once', async () => {
    const email = address();
    const clients = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const acme = await org.found();
        return () => org.member(acme, 'owner').post(path(acme), { email, role: 'viewer' });
      }),
    );
    const answers = await Promise.all(clients.map((ask) => ask()));
    expect(tally(answers)).toEqual({ 201: 3, '429 rate_limited': 2 });
    expect(Number(answers.find(({ status }) => status === 429)?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await org.mails(email)).toHaveLength(3);
  });

  test('resending counts as well, and an hour later there is room again', async () => {
    const acme = await org.found();
    const client = org.member(acme, 'owner');
    const email = address();
    const { body } = await client.post(path(acme), { email, role: 'viewer' });
    const resend = async () => (await client.post(path(acme, `/${body.id}/resend`))).status;
    expect([await resend(), await resend(), await resend()]).toEqual([200, 200, 429]);
    org.clock.advance(HOUR_MS);
    expect(await resend()).toBe(200);
  });
});

describe('resending', () => {
  test('the new link counts and the old one is dead; the term starts anew', async () => {
    const acme = await org.found();
    await org.person({ id: acme.members.admin });
    const ada = await org.person();
    const { body } = await org.member(acme, 'admin').post(path(acme), { email: ada.email, role: 'viewer' });
    org.clock.advance(2 * DAY_MS);

    const answer = await org.member(acme, 'admin').post(path(acme, `/${body.id}/resend`));

    expect(answer.body).toMatchObject({
      id: body.id,
      sent_at: org.clock().toISOString(),
      expires_at: new Date(org.clock().getTime() + 7 * DAY_MS).toISOString(),
    });
    const tokens = (await org.mails(ada.email)).map(({ token }) => token);
    expect(new Set(tokens).size).toBe(2);
    const accept = (token?: string) => org.as({ sub: ada.id }).post('/api/invitations/accept', { token });
    expect(codes([await accept(tokens[0]), await accept(tokens[1])])).toEqual(['400 invitation.not_valid', '200']);
    expect((await org.events(acme.id)).map(({ type }) => type)).toContain('org.invitation_resent.v1');
  });

  test('one that has expired lives again, rests on who resends it, and needs room', async () => {
    const acme = await org.found();
    for (const role of ['owner', 'admin'] as const) await org.person({ id: acme.members[role] });
    const ada = await org.person();
    const { body } = await org.member(acme, 'admin').post(path(acme), { email: ada.email, role: 'viewer' });
    await org.member(acme, 'owner').delete(`/api/org/${acme.id}/members/${acme.members.admin}`);
    org.clock.advance(8 * DAY_MS);
    const listed = async (status: string) =>
      (await org.member(acme, 'owner').get(path(acme, `?status=${status}`))).body.data.map(
        ({ id }: { id: string }) => id,
      );
    expect([await listed('pending'), await listed('expired')]).toEqual([[], [body.id]]);

    const resend = () => org.member(acme, 'owner').post(path(acme, `/${body.id}/resend`));
    for (let i = 0; i < 10; i++) await org.member(acme, 'owner').post(path(acme), { email: address(), role: 'viewer' });
    expect(codes([await resend()])).toEqual(['409 invitation.limit_reached']);
    await org.rows(`update org.organizations set plan = 'pro' where id = $1`, [acme.id]);
    expect((await resend()).body).toMatchObject({ status: 'pending', inviter_id: acme.members.owner });

    const token = (await org.mails(ada.email)).at(-1)?.token;
    expect((await org.as({ sub: ada.id }).post('/api/invitations/accept', { token })).status).toBe(200);
  });

  test('an expired one makes way for a new one to the same address', async () => {
    const acme = await org.found();
    const email = address();
    const first = await org.member(acme, 'owner').post(path(acme), { email, role: 'viewer' });
    org.clock.advance(7 * DAY_MS);
    const second = await org.member(acme, 'owner').post(path(acme), { email, role: 'admin' });
    expect(codes([first, second])).toEqual(['201', '201']);
    const resent = await org.member(acme, 'owner').post(path(acme, `/${first.body.id}/resend`));
    expect(codes([resent])).toEqual(['400 invitation.not_valid']);
  });

  test('an admin neither resends nor withdraws what an owner offered above the admin', async () => {
    const acme = await org.found();
    const { body } = await org.member(acme, 'owner').post(path(acme), { email: address(), role: 'owner' });
    const answers = [
      await org.member(acme, 'admin').post(path(acme, `/${body.id}/resend`)),
      await org.member(acme, 'admin').delete(path(acme, `/${body.id}`)),
    ];
    expect(codes(answers)).toEqual(Array(2).fill('403 org.role_above_own'));
  });

  test('what was accepted, declined or withdrawn is not sent again', async () => {
    const acme = await org.found();
    const { body } = await org.member(acme, 'owner').post(path(acme), { email: address(), role: 'viewer' });
    for (const status of ['accepted', 'declined', 'withdrawn', 'cancelled']) {
      await org.rows(
        `update org.invitations set status = $2, ended_at = now(), token_hash = null,
           accepted_by = case when $2 = 'accepted' then id end where id = $1`,
        [body.id, status],
      );
      const answer = await org.member(acme, 'owner').post(path(acme, `/${body.id}/resend`));
      expect(codes([answer])).toEqual(['400 invitation.not_valid']);
    }
    expect(codes([await org.member(acme, 'owner').post(path(acme, `/${newId()}/resend`))])).toEqual([
      '404 invitation.not_found',
    ]);
  });
});

describe('withdrawing and listing', () => {
  test('a withdrawn invitation is dead; withdrawing it again changes nothing', async () => {
    const acme = await org.found();
    await org.person({ id: acme.members.owner });
    const ada = await org.person();
    const { body } = await org.member(acme, 'owner').post(path(acme), { email: ada.email, role: 'viewer' });
    const withdraw = () => org.member(acme, 'owner').delete(path(acme, `/${body.id}`));
    expect([(await withdraw()).status, (await withdraw()).status]).toEqual([204, 204]);
    const [mail] = await org.mails(ada.email);
    const accepted = await org.as({ sub: ada.id }).post('/api/invitations/accept', { token: mail?.token });
    expect(codes([accepted])).toEqual(['400 invitation.not_valid']);
    const withdrawals = (await org.events(acme.id)).filter(({ type }) => type === 'org.invitation_withdrawn.v1');
    expect(withdrawals).toHaveLength(1);
    const { body: page } = await org.member(acme, 'admin').get(path(acme, '?status=withdrawn'));
    expect(page.data).toMatchObject([{ id: body.id, status: 'withdrawn', ended_at: org.clock().toISOString() }]);
  });

  test('S083: the list goes page by page, newest first, and refuses what it does not know', async () => {
    const [acme, other] = [await org.found(), await org.found()];
    const ids: string[] = [];
    for (let i = 0; i < 5; i++)
      ids.unshift((await org.member(acme, 'owner').post(path(acme), { email: address(), role: 'viewer' })).body.id);
    const seen: string[] = [];
    let query = '?limit=2';
    for (;;) {
      const { body } = await org.member(acme, 'admin').get(path(acme, query));
      expect(JSON.stringify(body)).not.toContain('token');
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      if (!body.next_cursor) break;
      const cursor = encodeURIComponent(body.next_cursor);
      for (const foreign of [path(other, `?cursor=${cursor}`), path(acme, `?status=expired&cursor=${cursor}`)])
        expect((await org.member(foreign.includes(other.id) ? other : acme, 'owner').get(foreign)).status).toBe(400);
      query = `?limit=2&cursor=${cursor}`;
    }
    expect(seen).toEqual(ids);
    for (const bad of ['status=all', 'status=pending&status=expired', 'email=x', 'sort=token_hash', 'limit=0'])
      expect((await org.member(acme, 'owner').get(path(acme, `?${bad}`))).status).toBe(400);
  });
});
