import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { elsewhere, mailsTo } from '../mails/testing.ts';
import { type AuthUnderTest, isActive, PASSWORD, signedIn, signedInAgain, startAuth } from '../testing.ts';

const NEW_PASSWORD = 'quiet lamps over a narrow river';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const change = { current_password: PASSWORD, new_password: NEW_PASSWORD };
const PATH = '/api/auth/password/change';
const login = (email: string, password: string) => elsewhere(auth).post('/api/auth/login', { email, password });

test('S032 one of three sessions changes the password: it goes on, the others and their refresh tokens are dead', async () => {
  const { user, session, token } = await signedIn(auth);
  const others = [await signedInAgain(auth, user), await signedInAgain(auth, user)];

  expect((await session.post(PATH, change)).status).toBe(204);

  expect(await isActive(auth, session.session_id)).toBe(true);
  expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: token })).status).toBe(200);
  for (const other of others) {
    expect(await isActive(auth, other.session.session_id)).toBe(false);
    expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: other.token })).status).toBe(401);
  }
  expect((await login(user.email, PASSWORD)).status).toBe(401);
  expect((await login(user.email, NEW_PASSWORD)).status).toBe(200);
  const [mail] = await mailsTo(auth, user.email);
  expect(mail?.payload).toMatchObject({ template: 'password-changed', params: { address: '192.0.2.7' } });
  expect((await auth.events('auth.password_changed.v1')).at(-1)?.data).toEqual({ user_id: user.id });
});

test('a wrong current password changes nothing, is on record, and has five guesses in a quarter of an hour', async () => {
  const { user, session } = await signedIn(auth);
  const wrong = () => session.post(PATH, { ...change, current_password: 'not the password at all' });
  const answers = await Promise.all(Array.from({ length: 12 }, wrong));
  expect(answers.map(({ status }) => status).sort()).toEqual([...Array(5).fill(401), ...Array(7).fill(429)]);
  expect((await session.post(PATH, change)).status).toBe(429);
  expect((await login(user.email, PASSWORD)).status).toBe(200);
  const refused = (await auth.events('auth.password_change_refused.v1')).filter(
    ({ data }) => data['user_id'] === user.id,
  );
  expect(refused).toHaveLength(13);
  auth.clock.advance(901_000);
  expect((await session.post(PATH, change)).status).toBe(204);
});

test('S008 a new password that is weak, or the old one, is refused with the reason', async () => {
  const { user, session } = await signedIn(auth);
  for (const new_password of ['short', 'password1234567', PASSWORD, user.email, 'gatehouse2026!'])
    expect(await session.post(PATH, { ...change, new_password })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/new_password' }] },
    });
  expect((await login(user.email, PASSWORD)).status).toBe(200);
});

test('S054 asks for a proof that is not older than ten minutes', async () => {
  const user = await auth.user();
  const stale = auth.as({ kind: 'user', sub: user.id, auth_time: Math.floor(Date.now() / 1000) - 700 });
  const fresh: [string, () => Promise<{ status: number; body: { code: string } }>][] = [
    ['password', () => stale.post(PATH, change)],
    ['address', () => stale.post('/api/auth/email/change', { new_email: 'x@y.test' })],
    ['account', () => stale.delete('/api/auth/me')],
  ];
  for (const [, ask] of fresh)
    expect(await ask()).toMatchObject({ status: 403, body: { code: 'auth.reauth_required' } });
  expect((await login(user.email, PASSWORD)).status).toBe(200);
});

test('S021 a change that was under way when the owner set another password by link changes nothing', async () => {
  const { user, session } = await signedIn(auth);
  const hash = await auth.deps.hasher.hash('the owner chose this one now');
  // The owner's reset holds the row while the change has verified the old password and waits for it.
  const owner = await auth.database.pool('admin').pg.connect();
  await owner.query('begin');
  await owner.query('update auth.users set password_hash = $1 where id = $2', [hash, user.id]);
  const late = session.post(PATH, change);
  for (let waiting = 0; waiting === 0; )
    waiting = (
      await auth.rows<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      )
    )[0]?.n as number;
  await owner.query('commit');
  owner.release();
  expect((await late).status).toBe(401);
  expect((await login(user.email, 'the owner chose this one now')).status).toBe(200);
});
