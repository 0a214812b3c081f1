import { randomBytes, randomUUID } from 'node:crypto';
import { sha256 } from '@gatehouse/kit/crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, shapeOf, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, type Instance, PASSWORD, startAuth } from '../testing.ts';

const OTHER_PASSWORD = 'quiet lamps over a narrow river';
const DAY_MS = 86_400_000;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

/** An organization with an owner, and an invitation by that owner. */
async function invited({ email = `${randomUUID()}@invited.test`, role = 'analyst', domains = [] as string[] } = {}) {
  const [org_id, id] = [randomUUID(), randomUUID()];
  const inviter = await auth.user();
  const token = randomBytes(32).toString('base64url');
  await auth.rows(
    `insert into org.organizations (id, name, slug, status, created_by, allowed_domains)
     values ($1, 'Acme Rockets', $2, 'active', $1, $3)`,
    [org_id, `acme-${org_id.slice(0, 8)}`, domains],
  );
  await auth.rows(`insert into org.members (org_id, user_id, role) values ($1, $2, 'owner')`, [org_id, inviter.id]);
  await auth.rows(
    `insert into org.invitations
       (id, org_id, email, role, inviter_id, by_platform_admin, token_hash, created_at, sent_at, expires_at)
     values ($1, $2, $3, $4, $5, false, $6, $7, $7, $8)`,
    [id, org_id, email, role, inviter.id, sha256(token), auth.clock(), new Date(auth.clock().getTime() + 7 * DAY_MS)],
  );
  return { id, org_id, email, role, inviter, token };
}

const register = (token: string, over = {}, on: Instance = auth, path = '/api/auth/register/invited') =>
  on
    .as({ kind: 'anonymous' }, { 'x-forwarded-for': `10.9.${Math.floor(Math.random() * 250)}.1` })
    .post(path, { invitation_token: token, name: 'Ines Invited', password: PASSWORD, ...over });
const login = (email: string, password = PASSWORD) => elsewhere(auth).post('/api/auth/login', { email, password });
const membersOf = (org_id: string) =>
  auth.rows<{ user_id: string; role: string }>(
    'select user_id, role from org.members where org_id = $1 and role <> $2',
    [org_id, 'owner'],
  );
const usersOf = (email: string) =>
  auth.rows(`select id from auth.users where email = $1 and status <> 'deleted'`, [email]);

test('an invitation makes an account with its address, confirmed, and a member', async () => {
  const { id, org_id, email, token } = await invited();

  const answer = await register(token);

  const user_id = answer.body.user?.id;
  expect(answer).toMatchObject({
    status: 201,
    body: { user: { id: user_id, email, name: 'Ines Invited', role: 'analyst', org_id } },
  });
  expect(await membersOf(org_id)).toEqual([{ user_id, role: 'analyst' }]);
  const signedIn = await login(email);
  expect(signedIn.body.user.role).toBe('user');
  const [row] = await auth.rows('select email_verified_at is not null as verified from auth.users where id = $1', [
    user_id,
  ]);
  expect(row).toEqual({ verified: true });
  const events = await auth.rows(`select type, data from events.outbox where org_id = $1 order by position`, [org_id]);
  expect(events).toEqual([
    { type: 'auth.user_registered.v1', data: { user_id, mode: 'invite', role: 'user' } },
    { type: 'org.invitation_accepted.v1', data: { invitation_id: id, user_id, role: 'analyst' } },
    { type: 'org.member_added.v1', data: { user_id, role: 'analyst' } },
  ]);
});

test('in the mode invite it is the only way to register', async () => {
  const only = await auth.another({ REGISTRATION_MODE: 'invite' });
  const { email, token } = await invited();
  const path = '/api/auth/register';
  const without = { email, name: 'N', password: PASSWORD };
  expect(await only.anonymous.post(path, without)).toMatchObject({
    status: 403,
    body: { code: 'registration.invitation_required' },
  });
  expect((await register(token, { email: 'other@x.test' }, only, path)).status).toBe(400);
  expect((await register(token, {}, only, path)).status).toBe(201);
  expect((await login(email)).status).toBe(200);
});

describe('S079 S028 an invitation', () => {
  test('of ten at one instant makes one account and one membership', async () => {
    const { org_id, email, token } = await invited();
    const answers = await Promise.all(Array.from({ length: 10 }, () => register(token)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses[0]).toBe(201);
    expect(statuses.slice(1).every((status) => status === 400 || status === 409)).toBe(true);
    expect(await usersOf(email)).toHaveLength(1);
    expect(await membersOf(org_id)).toHaveLength(1);
    expect((await register(token)).status).toBe(400);
  });

  test('that is altered, withdrawn, past its time, or of a demoted inviter or suspended organization makes nothing', async () => {
    const cases: [string, (invitation: Awaited<ReturnType<typeof invited>>) => Promise<unknown>, number][] = [
      [
        'withdrawn',
        ({ id }) =>
          auth.rows(
            `update org.invitations set status = 'withdrawn', ended_at = now(), token_hash = null where id = $1`,
            [id],
          ),
        400,
      ],
      [
        'expired',
        ({ id }) =>
          auth.rows(`update org.invitations set expires_at = now() - interval '1 second' where id = $1`, [id]),
        400,
      ],
      [
        'suspended',
        ({ org_id }) => auth.rows(`update org.organizations set status = 'suspended' where id = $1`, [org_id]),
        400,
      ],
      [
        'inviter disabled',
        ({ inviter }) => auth.rows(`update auth.users set status = 'disabled' where id = $1`, [inviter.id]),
        403,
      ],
      [
        'inviter demoted',
        async ({ org_id, inviter }) => {
          const heir = await auth.user();
          await auth.rows(`insert into org.members (org_id, user_id, role) values ($1, $2, 'owner')`, [
            org_id,
            heir.id,
          ]);
          await auth.rows(`update org.members set role = 'billing' where org_id = $1 and user_id = $2`, [
            org_id,
            inviter.id,
          ]);
        },
        403,
      ],
    ];
    for (const [name, spoil, status] of cases) {
      const invitation = await invited();
      await spoil(invitation);
      const answer = await register(invitation.token);
      expect({ name, status: answer.status }).toEqual({ name, status });
      expect(await usersOf(invitation.email)).toEqual([]);
      expect((await membersOf(invitation.org_id)).filter(({ role }) => role === 'analyst')).toEqual([]);
    }
    const { token } = await invited();
    for (const other of [`${token.slice(0, -2)}xx`, 'none', token.toUpperCase()])
      expect(await register(other)).toMatchObject({ status: 400, body: { code: 'invitation.not_valid' } });
  });

  test('names its address, organization and role itself', async () => {
    const { token, email } = await invited();
    for (const field of ['email', 'role', 'org_id', 'email_verified'])
      expect((await register(token, { [field]: 'x@y.test' })).status).toBe(400);
    expect((await register(token)).body.user).toMatchObject({ email, role: 'analyst' });
  });

  test('to an address that has an account is for signing in, which only the holder of the token is told', async () => {
    const known = await auth.user();
    const { token, org_id } = await invited({ email: known.email });
    expect(await register(token)).toMatchObject({ status: 409, body: { code: 'auth.account_taken' } });
    expect(await membersOf(org_id)).toEqual([]);
    expect((await login(known.email)).status).toBe(200);
    const stranger = await invited();
    expect(shapeOf(await register(`${token}x`))).toEqual(shapeOf(await register(`${stranger.token}x`)));
  });

  test('S021 to an address that somebody registered and nobody confirmed belongs to who holds it', async () => {
    const email = `${randomUUID()}@victim.test`;
    await elsewhere(auth).post('/api/auth/register', { email, name: 'Mallory', password: OTHER_PASSWORD });
    const attackers = await tokenSentTo(auth, email, 'verify-address');
    const { token, org_id } = await invited({ email });
    const answer = await register(token);
    expect(answer.status).toBe(201);
    expect(await membersOf(org_id)).toHaveLength(1);
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: attackers })).status).toBe(400);
    expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
    expect((await login(email)).body.user).toMatchObject({ name: 'Ines Invited', role: 'user' });
  });

  test('S021 loses its link with the capabilities of its address', async () => {
    const user = await auth.user();
    const { token } = await invited({ email: user.email });
    await elsewhere(auth).post('/api/auth/password/forgot', { email: user.email });
    const body = { token: await tokenSentTo(auth, user.email, 'password-reset'), new_password: OTHER_PASSWORD };
    expect((await elsewhere(auth).post('/api/auth/password/reset', body)).status).toBe(204);
    expect(await register(token)).toMatchObject({ status: 400, body: { code: 'invitation.not_valid' } });
  });

  test('S008 is not used up by a password that is weak; words of the organization are', async () => {
    const { token } = await invited();
    for (const password of ['short', 'password1234567', 'AcmeRockets2026'])
      expect(await register(token, { password })).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '/password' }] },
      });
    expect((await register(token)).status).toBe(201);
  });
});

describe('what an organization allows', () => {
  test('S086 no more members than its plan has places for, and nothing is left of who found none', async () => {
    const { org_id, token, email } = await invited();
    for (let n = 0; n < 9; n++)
      await auth.rows(`insert into org.members (org_id, user_id, role) values ($1, $2, 'viewer')`, [
        org_id,
        randomUUID(),
      ]);
    expect(await register(token)).toMatchObject({ status: 409, body: { code: 'org.member_limit_reached' } });
    expect(await usersOf(email)).toEqual([]);
    const refused = (await auth.events('auth.registration_refused.v1')).at(-1);
    expect(refused?.data).toMatchObject({ reason: 'no_place' });
    await auth.rows(
      'delete from org.members where ctid in (select ctid from org.members where org_id = $1 and role = $2 limit 1)',
      [org_id, 'viewer'],
    );
    expect((await register(token)).status).toBe(201);
  });

  test('mail domains that it admits, and no other', async () => {
    const { token, email } = await invited({ domains: ['acme.test'] });
    expect(await register(token)).toMatchObject({ status: 403, body: { code: 'org.domain_refused' } });
    expect(await usersOf(email)).toEqual([]);
    const own = await invited({ email: `${randomUUID()}@acme.test`, domains: ['acme.test'] });
    expect((await register(own.token)).status).toBe(201);
  });
});
