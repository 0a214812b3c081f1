import { hmac } from '@gatehouse/kit/crypto';
import type { Client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo, templatesTo, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, claimsOf, isActive, PASSWORD, startAuth } from '../testing.ts';
import { address, lock, login as loginAt, OTHER_PASSWORD, register as registerAt, visitor } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const register = (email: string, password: string, from?: Client) => registerAt(auth, email, password, from);
const login = (email: string, password: string, from?: Client) => loginAt(auth, email, password, from);
const guestsOf = (email: string) =>
  auth.rows<{ id: string; status: string }>(
    'select id, status from auth.users where registered_email = $1 order by created_at, id',
    [email],
  );

test('who registers signs in at once, as a guest of the address, who reads and signs out', async () => {
  const email = address();

  const guest = await visitor(auth, email);

  expect(guest.answer.body.user).toEqual({ id: guest.user_id, email, name: 'Gus Guest', role: 'guest' });
  const { payload } = claimsOf(guest.answer.body.access_token);
  expect(payload.role).toBe('guest');
  const me = await guest.get('/api/auth/me');
  expect(me.body).toMatchObject({ email, role: 'guest', email_verified: false, password_set: true });
  expect((await guest.get('/api/auth/sessions')).body.data).toHaveLength(1);
  expect((await guest.patch('/api/auth/me', { name: 'Other' })).status).toBe(403);
  expect((await guest.post('/api/auth/email/resend', { email })).status).toBe(202);
  expect((await guest.delete('/api/auth/sessions')).status).toBe(204);
  expect(await isActive(auth, guest.session_id)).toBe(false);
});

test('who confirms the address goes on with the same password, as a user', async () => {
  const email = address();
  const guest = await visitor(auth, email);

  const token = await tokenSentTo(auth, email, 'verify-address');
  expect((await guest.post('/api/auth/email/verify', { token })).status).toBe(204);

  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect((await login(email, OTHER_PASSWORD)).body.user).toMatchObject({ email, role: 'user', name: 'Gus Guest' });
  expect((await guestsOf(email)).map(({ status }) => status)).toEqual(['deleted']);
  const [revoked] = (await auth.events('auth.session_revoked.v1')).filter(
    ({ data }) => data['session_id'] === guest.session_id,
  );
  expect(revoked?.data).toMatchObject({ reason: 'address_confirmed' });
});

describe('what protects the account of an address', () => {
  const failures = async (email: string) =>
    (
      await auth.rows<{ failures: number }>('select failures from auth.login_lanes where bucket = $1', [
        hmac(auth.deps.secrets.budgets, `login_account\n${email}`),
      ])
    )[0]?.failures;

  test('counts the sign-ins of its guests, and forgets nothing by them', async () => {
    const { email } = await auth.user();
    await register(email, OTHER_PASSWORD);
    const from = elsewhere(auth);
    for (const password of ['a wrong one', OTHER_PASSWORD, 'a wrong one', OTHER_PASSWORD])
      await login(email, password, from);
    expect(await failures(email)).toBe(4);
    expect((await login(email, PASSWORD, from)).body.user.role).toBe('user');
    expect(await failures(email)).toBeUndefined();
  });

  test('locks the account after as many tries, however many of them are guests', async () => {
    const { email } = await auth.user();
    await register(email, OTHER_PASSWORD);
    for (let n = 0; n < 20; n++) {
      expect((await login(email, n % 2 ? OTHER_PASSWORD : 'a wrong one')).status).toBe(n % 2 ? 200 : 401);
      auth.clock.advance(61_000 * (n > 8 ? 1 : 0));
    }
    expect((await login(email, PASSWORD)).status).toBe(401);
    expect((await login(email, OTHER_PASSWORD)).status).toBe(200);
    expect(await templatesTo(auth, email)).toEqual(['address-taken', 'sign-in-blocked']);
  });

  test('takes no device of a guest for one of the account', async () => {
    const { email } = await auth.user();
    const guest = await visitor(auth, email);
    const [device = ''] = (guest.answer.headers.get('set-cookie') ?? '').split(';');
    const from = elsewhere(auth, { cookie: device });
    await lock(auth, email);
    expect((await login(email, PASSWORD, from)).status).toBe(401);
  });

  test('keeps the account for whoever registers it again with its own password', async () => {
    const { email } = await auth.user();
    await register(email, PASSWORD);
    expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  });
});

test('S021 no guest makes the owner of the address get a mail, wherever it signs in from', async () => {
  const { email } = await auth.user();
  const guest = await visitor(auth, email);
  await login(email, OTHER_PASSWORD, elsewhere(auth, { 'user-agent': 'Mozilla/5.0 (X11; Linux) Firefox/140.0' }));
  const refresh = () => elsewhere(auth).post('/api/auth/refresh', { refresh_token: guest.refresh_token });
  await refresh();
  auth.clock.advance(60_000);
  await refresh();
  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect(await templatesTo(auth, email)).toEqual(['address-taken']);
  expect(await auth.rows(`select 1 from events.jobs where payload->>'to' like '%@invalid'`)).toEqual([]);
});

// Tried without the lock of the address: sixteen were left.
test('of thirty registrations of an address at one instant ten guests are left, the newest ones', async () => {
  const email = address();
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => register(email, `the passphrase of no ${n}`)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  const guests = await guestsOf(email);
  expect(guests.filter(({ status }) => status === 'active')).toHaveLength(10);

  const oldest = guests.find(({ status }) => status === 'active');
  await register(email, OTHER_PASSWORD);
  const now = await guestsOf(email);
  expect(now.filter(({ status }) => status === 'active')).toHaveLength(10);
  expect(now.find(({ id }) => id === oldest?.id)?.status).toBe('deleted');
  expect((await login(email, OTHER_PASSWORD)).status).toBe(200);
  expect((await mailsTo(auth, email)).length).toBeLessThanOrEqual(3);
});

test('a guest whose hash is not that of the password it was chosen for stands in nobody’s way', async () => {
  const { email } = await auth.user();
  await register(email, OTHER_PASSWORD);
  // One password in 65,536 has the tag of another.
  const tag = auth.deps.hasher.tag(PASSWORD);
  await auth.rows('update auth.users set password_tag = $1 where registered_email = $2', [tag, email]);
  expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
});

test('a visit lasts seven days, with its sessions, and nothing of it is left', async () => {
  const email = address();
  const guest = await visitor(auth, email);
  const ended = await visitor(auth, email, PASSWORD);
  await ended.post('/api/auth/logout');
  const [session] = (await guest.get('/api/auth/sessions')).body.data;
  expect(new Date(session.expires_at).getTime()).toBeLessThanOrEqual(auth.clock().getTime() + 7 * 86_400_000);
  const clean = (days: number) =>
    auth.database
      .pool('worker')
      .pg.query('select auth.cleanup($1)', [new Date(auth.clock().getTime() + days * 86_400_000)]);
  const left = async (table: string, column: string) =>
    (await auth.rows(`select 1 from auth.${table} where ${column} = any ($1)`, [[guest.user_id, ended.user_id]]))
      .length;
  await clean(6.9);
  expect(await left('users', 'id')).toBe(2);
  await clean(7.1);
  for (const table of ['sessions', 'devices']) expect(await left(table, 'user_id')).toBe(0);
  expect(await left('users', 'id')).toBe(0);
});

test('a registration keeps the claim of its address for as long as its guest', async () => {
  const email = address();
  await register(email, OTHER_PASSWORD);
  await auth.rows(`update auth.users set confirm_by = confirm_by - interval '6 days' where email = $1`, [email]);
  await register(email, PASSWORD);
  const [same] = await auth.rows(
    `select (select confirm_by from auth.users where email = $1)
       = (select max(confirm_by) from auth.users where registered_email = $1) as same`,
    [email],
  );
  expect(same).toEqual({ same: true });
});

test('a visiting guest becomes nothing else: the database refuses it', async () => {
  const guest = await visitor(auth, address());
  for (const change of [`role = 'user'`, `role = 'admin'`, 'email_verified_at = now()', 'confirm_by = null'])
    await expect(auth.rows(`update auth.users set ${change} where id = $1`, [guest.user_id])).rejects.toThrow(
      'users_visitor_is_guest',
    );
});

test('administrators see guests when they ask for them, by the address that they registered', async () => {
  const email = address();
  const guest = await visitor(auth, email);
  const root = await auth.user({ role: 'admin' });
  const admin = auth.as({ kind: 'user', sub: root.id, role: 'admin' });
  const found = async (query: string) =>
    (await admin.get(`/api/admin/users?q=${email}${query}`)).body.data.map(({ id }: { id: string }) => id);
  expect(await found('')).not.toContain(guest.user_id);
  expect(await found('&role=guest')).toContain(guest.user_id);
  const one = await admin.get(`/api/admin/users/${guest.user_id}`);
  expect(one.body).toMatchObject({ email, role: 'guest', sessions: 1 });
  const because = { reason: 'seen in a test' };
  expect((await admin.patch(`/api/admin/users/${guest.user_id}`, { ...because, role: 'admin' })).status).toBe(409);
  expect((await admin.post(`/api/admin/users/${guest.user_id}/reset-password`, because)).status).toBe(409);
  expect((await admin.post(`/api/admin/users/${guest.user_id}/disable`, because)).status).toBe(200);
  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
});

test('where everybody needs a second factor guests come in without one: they may change nothing', async () => {
  const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
  const email = address();
  await register(email, OTHER_PASSWORD);
  const answer = await strict.anonymous.post('/api/auth/login', { email, password: OTHER_PASSWORD });
  expect(answer.body.user).toMatchObject({ email, role: 'guest' });
});
