import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, isActive, signedIn, startAuth } from '../testing.ts';
import { administration, REASON } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { admin, act, role, about, login } = administration(() => auth);

describe('disabling', () => {
  test('S032 ends every session at once, on every instance, and every link; nobody gets in until it is enabled', async () => {
    const who = await admin();
    const { user, session, token } = await signedIn(auth);
    const other = await auth.another();
    await auth.anonymous.post('/api/auth/password/forgot', { email: user.email });

    const answer = await act(who, user.id, 'disable');

    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'disabled', disabled_reason: REASON, disabled_at: expect.any(String), sessions: 0 },
    });
    expect(await isActive(auth, session.session_id)).toBe(false);
    for (const instance of [auth, other]) {
      const refreshed = await instance.anonymous.post('/api/auth/refresh', { refresh_token: token });
      expect(refreshed.status).toBe(401);
    }
    expect((await login(user.email)).body.code).toBe('auth.invalid_credentials');
    for (const table of ['action_tokens', 'email_verifications'])
      expect(await auth.rows(`select from auth.${table} where user_id = $1`, [user.id])).toEqual([]);
    expect(await about('auth.user_disabled.v1', user.id)).toMatchObject([
      {
        outcome: 'success',
        actor: { kind: 'user', user_id: who.id },
        data: { reason: REASON, old: { status: 'active' }, new: { status: 'disabled' } },
      },
    ]);
    expect(await about('auth.session_revoked.v1', user.id)).toHaveLength(1);

    expect((await act(who, user.id, 'disable')).body.code).toBe('conflict');
    expect((await act(who, user.id, 'enable')).body).toMatchObject({ status: 'active', disabled_reason: null });
    expect((await login(user.email)).status).toBe(200);
    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await act(who, user.id, 'enable')).body.code).toBe('conflict');
    expect(await about('auth.user_enabled.v1', user.id)).toMatchObject([
      { data: { old: { status: 'disabled' }, new: { status: 'active' } } },
    ]);
  });

  // Guards lockUser in both: a sign-in that has verified the password waits, and then finds the account disabled.
  test('S032 of sign-ins at the same instant none leaves a session behind', async () => {
    const who = await admin();
    for (let round = 0; round < 5; round++) {
      const user = await auth.user();
      await Promise.all([...Array.from({ length: 4 }, () => login(user.email)), act(who, user.id, 'disable')]);
      const live = await auth.rows('select from auth.sessions where user_id = $1 and ended_at is null', [user.id]);
      expect(live).toEqual([]);
    }
  });

  test('not of oneself; the refusal is on record', async () => {
    const who = await admin();
    await admin();
    for (const action of ['disable', 'delete']) expect((await act(who, who.id, action)).body.code).toBe('conflict');
    expect(await about('auth.user_change_refused.v1', who.id)).toMatchObject([
      { outcome: 'denied', data: { action: 'disable', why: 'oneself' } },
      { outcome: 'denied', data: { action: 'delete', why: 'oneself' } },
    ]);
  });
});

describe('the last administrator', () => {
  const others = async (but: string[]) =>
    auth.rows(`update auth.users set role = 'user' where role = 'admin' and id <> all ($1)`, [but]);

  test('keeps the role', async () => {
    const who = await admin();
    await others([who.id]);
    const sleeping = await auth.user({ role: 'admin', status: 'disabled' });
    expect((await role(who, who.id, 'user')).body.code).toBe('auth.last_admin');
    expect((await act(who, who.id, 'disable')).status).toBe(409);
    expect((await act(who, who.id, 'delete')).status).toBe(409);
    expect(await about('auth.user_change_refused.v1', who.id)).toHaveLength(3);
    expect((await role(who, sleeping.id, 'user')).status).toBe(200);
  });

  // Tried without lockAdmins: in most rounds each still saw the other, and both lost the role.
  test('of two who take it from one another at one instant, one stays', async () => {
    for (let round = 0; round < 10; round++) {
      const [one, other] = [await admin(), await admin()];
      await others([one.id, other.id]);
      const answers = await Promise.all([role(one, other.id, 'user'), act(other, one.id, 'disable')]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
      const left = await auth.rows(`select from auth.users where role = 'admin' and status = 'active'`);
      expect(left).toHaveLength(1);
    }
  });

  test('of two who give it up at one instant, one stays', async () => {
    for (let round = 0; round < 10; round++) {
      const [one, other] = [await admin(), await admin()];
      await others([one.id, other.id]);
      const answers = await Promise.all([role(one, one.id, 'user'), role(other, other.id, 'user')]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    }
  });
});

test('a change of role ends the sessions of the old one, and is on record with both', async () => {
  const who = await admin();
  const { user, session } = await signedIn(auth);
  expect((await role(who, user.id, 'admin')).body).toMatchObject({ role: 'admin', sessions: 0 });
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await role(who, user.id, 'admin')).status).toBe(200);
  expect((await role(who, user.id, 'user')).status).toBe(200);
  expect((await about('auth.user_role_changed.v1', user.id)).map(({ data }) => data)).toEqual([
    { user_id: user.id, reason: REASON, old: { role: 'user' }, new: { role: 'admin' } },
    { user_id: user.id, reason: REASON, old: { role: 'admin' }, new: { role: 'user' } },
  ]);
});

test('nobody whose address is not confirmed becomes an administrator', async () => {
  const who = await admin();
  const guest = await auth.user({ role: 'guest' });
  expect((await role(who, guest.id, 'admin')).body.code).toBe('conflict');
  expect((await role(who, guest.id, 'user')).body.role).toBe('user');
});

test('ending the sessions of a user ends them everywhere, and nothing else', async () => {
  const who = await admin();
  const { user, session } = await signedIn(auth);
  expect((await act(who, user.id, 'end-sessions')).body).toMatchObject({ status: 'active', sessions: 0 });
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await login(user.email)).status).toBe(200);
  expect((await about('auth.user_sessions_ended.v1', user.id)).map(({ data }) => data)).toEqual([
    { user_id: user.id, reason: REASON, old: { sessions: 1 }, new: { sessions: 0 } },
  ]);
});

test('a deleted user closes at once, can be restored, and what was disabled stays so', async () => {
  const who = await admin();
  const { user, session } = await signedIn(auth);
  expect((await act(who, user.id, 'delete')).body).toMatchObject({
    status: 'closing',
    deletion_due_at: expect.any(String),
  });
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await login(user.email)).status).toBe(401);
  expect((await act(who, user.id, 'delete')).body.code).toBe('conflict');
  expect((await act(who, user.id, 'disable')).body).toMatchObject({ status: 'closing', disabled_reason: REASON });
  expect((await act(who, user.id, 'restore')).body).toMatchObject({ status: 'disabled', deletion_due_at: null });
  expect((await act(who, user.id, 'restore')).body.code).toBe('conflict');
  expect((await act(who, user.id, 'enable')).body.status).toBe('active');
  expect((await login(user.email)).status).toBe(200);
  expect(await about('auth.user_deletion_ordered.v1', user.id)).toMatchObject([
    { data: { reason: REASON, old: { status: 'active' }, new: { status: 'closing' } } },
  ]);
  expect(await about('auth.user_restored.v1', user.id)).toMatchObject([
    { data: { old: { status: 'closing' }, new: { status: 'disabled' } } },
  ]);
});

test('a forced reset makes the password worthless, ends sessions, and mails the link', async () => {
  const who = await admin();
  const { user, session } = await signedIn(auth);
  expect((await act(who, user.id, 'reset-password')).body).toMatchObject({ password_reset_required: true });
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await login(user.email)).body.code).toBe('auth.password_reset_required');
  const mails = await auth.rows(
    `select payload from events.jobs where payload ->> 'template' = 'password-reset' and payload ->> 'to' = $1`,
    [user.email],
  );
  expect(mails).toHaveLength(1);
  expect(await about('auth.user_reset_forced.v1', user.id)).toMatchObject([
    { data: { reason: REASON, old: { password_reset_required: false }, new: { password_reset_required: true } } },
  ]);
  const disabled = await auth.user({ status: 'disabled' });
  expect((await act(who, disabled.id, 'reset-password')).body.code).toBe('conflict');
});

describe('locks', () => {
  async function locked() {
    const user = await auth.user();
    const tight = await auth.another({ LOGIN_LOCK_FAILURES: 2 });
    for (let n = 0; n < 2; n++)
      await tight.anonymous.post('/api/auth/login', { email: user.email, password: 'a wrong password' });
    return user;
  }

  test('are listed, the latest first, in pages, until they end', async () => {
    const who = await admin();
    const users = [];
    for (let n = 0; n < 3; n++) {
      users.push(await locked());
      auth.clock.advance(1000);
    }
    const first = await who.get('/api/admin/lockouts?limit=2');
    expect(first.body.data).toEqual(
      [users[2], users[1]].map((user) => ({
        user_id: user?.id,
        email: user?.email,
        name: 'Uma User',
        locked_at: expect.any(String),
        locked_until: expect.any(String),
      })),
    );
    const second = await who.get(`/api/admin/lockouts?limit=2&cursor=${first.body.next_cursor}`);
    expect(second.body.data.map(({ user_id }: { user_id: string }) => user_id)).toEqual([users[0]?.id]);
    expect(second.body.next_cursor).toBeNull();
    auth.clock.advance(900_000);
    expect((await who.get('/api/admin/lockouts')).body.data).toEqual([]);
  });

  test('are ended by an administrator, with a reason on record', async () => {
    const who = await admin();
    const user = await locked();
    expect((await who.get(`/api/admin/users/${user.id}`)).body.lock).toEqual({
      locked_at: expect.any(String),
      locked_until: expect.any(String),
    });
    expect((await login(user.email)).status).toBe(401);
    expect((await act(who, user.id, 'unlock')).body.lock).toBeNull();
    expect((await login(user.email)).status).toBe(200);
    expect((await act(who, user.id, 'unlock')).status).toBe(200);
    expect((await about('auth.user_unlocked.v1', user.id)).map(({ data }) => data['old'])).toEqual([
      { locked: true },
      { locked: false },
    ]);
  });
});
