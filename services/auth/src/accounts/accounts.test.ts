import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, sessionOf, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

async function signedIn() {
  const user = await auth.user();
  const answer = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
  return { user, session: sessionOf(auth, answer) };
}

test('tells who is signed in, and no more than that', async () => {
  const { user, session } = await signedIn();
  const { status, body } = await session.get('/api/auth/me');
  expect(status).toBe(200);
  expect(body).toEqual({
    id: user.id,
    email: user.email,
    name: 'Uma User',
    role: 'user',
    email_verified: false,
    password_set: true,
    amr: expect.arrayContaining(['pwd']),
    authenticated_at: expect.stringMatching(/Z$/),
    second_factors: [],
    pending_email: null,
    created_at: expect.stringMatching(/Z$/),
  });
});

test('changes the own name, with old and new in the log', async () => {
  const { user, session } = await signedIn();

  const answer = await session.patch('/api/auth/me', { name: '  Ula <b>User</b> ' });

  expect(answer).toMatchObject({ status: 200, body: { name: 'Ula <b>User</b>' } });
  expect((await session.get('/api/auth/me')).body.name).toBe('Ula <b>User</b>');
  expect((await auth.events('auth.profile_changed.v1')).map(({ data }) => data)).toEqual([
    { user_id: user.id, old: { name: 'Uma User' }, new: { name: 'Ula <b>User</b>' } },
  ]);
});

test('S023 nothing else can be changed here', async () => {
  const { user, session } = await signedIn();
  const before = await auth.rows('select * from auth.users where id = $1', [user.id]);
  for (const field of ['role', 'email', 'isAdmin', 'platform_role', 'email_verified', 'status', 'id', 'created_at'])
    expect((await session.patch('/api/auth/me', { name: 'X', [field]: 'admin' })).status).toBe(400);
  for (const name of ['', 'a\u0000b', 'a\ud800b', 'a\nb', 7, null, ['x']])
    expect((await session.patch('/api/auth/me', { name })).status).toBe(400);
  expect(await auth.rows('select * from auth.users where id = $1', [user.id])).toEqual(before);
});
