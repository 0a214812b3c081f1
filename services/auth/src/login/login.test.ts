import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, claimsOf, PASSWORD, sessionOf, signedIn, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const login = (email: string, password: string = PASSWORD) =>
  auth.anonymous.post('/api/auth/login', { email, password });

test('a sign-in answers with tokens and the user, is not stored by anyone, and is recorded', async () => {
  const user = await auth.user();

  const answer = await login(user.email);

  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('set-cookie')).not.toMatch(/refresh/);
  expect(answer.body).toEqual({
    access_token: expect.any(String),
    token_type: 'bearer',
    expires_in: 900,
    refresh_token: expect.stringMatching(/^ghr_/),
    user: { id: user.id, email: user.email, name: 'Uma User', role: 'user' },
  });
  const { header, payload } = claimsOf(answer.body.access_token);
  expect(header).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) });
  expect(payload).toEqual({
    sub: user.id,
    sid: expect.any(String),
    role: 'user',
    amr: ['pwd'],
    auth_time: payload.iat,
    iss: 'https://gatehouse.test',
    aud: 'https://gatehouse.test',
    iat: expect.any(Number),
    exp: payload.iat + 900,
    jti: expect.any(String),
  });
  const recorded = (await auth.events('auth.login_succeeded.v1')).filter(({ data }) => data['user_id'] === user.id);
  expect(recorded).toMatchObject([{ outcome: 'success', actor: { kind: 'user', user_id: user.id } }]);
});

test('S015 the address is compared as it is stored: blanks, case and width do not matter', async () => {
  const user = await auth.user({ email: 'wide@users.test' });
  const answer = await login('  ＷＩＤＥ@Users.TEST ');
  expect(answer.body.user.id).toBe(user.id);
});

describe('S001 the answer does not tell why', () => {
  // A public endpoint may be called with a token and an organization; its log is read by whoever owns it.
  test('nor does the log of an organization that the caller names', async () => {
    const victim = await auth.user();
    const attacker = await signedIn(auth);
    const org = { id: randomUUID(), role: 'owner' as const };
    const { user_id: sub, session_id: sid } = attacker.session;

    for (const email of [victim.email, 'nobody-at-all@users.test'])
      await auth
        .as({ kind: 'user', sub, sid, role: 'user', org })
        .post('/api/auth/login', { email, password: 'a wrong password indeed' });

    const told = await auth.rows('select o.type, o.data from events.outbox o where o.org_id = $1', [org.id]);
    expect(told).toEqual([]);
  });

  test('unknown, wrong, disabled, closing, deleted, claimed and password-less accounts get the same answer, each one row', async () => {
    const user = await auth.user();
    const disabled = await auth.user({ status: 'disabled' });
    const deleted = await auth.user({ status: 'deleted' });
    const passwordless = await auth.user({ hash: null });
    const foreign = await auth.user({ hash: 'md5$salt$0123' });
    const closing = await auth.user({ status: 'disabled' });
    await auth.rows(`update auth.users set deletion_due_at = now() + interval '1 day' where id = $1`, [closing.id]);
    const claimed = await auth.user({ role: 'guest', hash: null });
    await auth.rows(`update auth.users set confirm_by = now() + interval '1 day' where id = $1`, [claimed.id]);
    const before = (await auth.events('auth.login_failed.v1')).length;

    const answers = await Promise.all([
      login('nobody@users.test'),
      login(user.email, 'a wrong password indeed'),
      login(disabled.email),
      login(deleted.email),
      login(passwordless.email),
      login(foreign.email),
      login(closing.email),
      login(claimed.email),
    ]);

    const bodies = answers.map(({ status, body, headers }) => {
      const names = [...headers.keys()].sort();
      return JSON.stringify({ status, names, body: { ...body, request_id: '' } });
    });
    expect(new Set(bodies).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'auth.invalid_credentials' } });
    expect(await auth.events('auth.login_failed.v1')).toHaveLength(before + answers.length);
  });

  test('the log knows the reason, and no address that was typed', async () => {
    const user = await auth.user();
    await login('typed-by-mistake@users.test', 'a wrong password indeed');
    await login(user.email, 'a wrong password indeed');

    const failed = await auth.events('auth.login_failed.v1');
    expect(failed.map(({ data }) => data['reason'])).toEqual(
      expect.arrayContaining(['unknown_account', 'wrong_password']),
    );
    expect(JSON.stringify(failed)).not.toMatch(/typed-by-mistake|a wrong password/);
  });
});

test('S006 a password that nobody can have set is wrong, and what Postgres cannot store in an address is refused', async () => {
  const user = await auth.user();
  for (const password of [`${PASSWORD}\u0000`, `\u0000${PASSWORD}`, `${PASSWORD}\ud800`])
    expect((await login(user.email, password)).status).toBe(401);
  for (const email of ['a\u0000@users.test', 'a\ud800@users.test', 'a@users.test\r\nBcc: b@users.test'])
    expect((await login(email)).status).toBe(400);
});

test('S006 what a client says of itself is stored cut and without control characters', async () => {
  const user = await auth.user();
  const { body } = await auth
    .as({ kind: 'anonymous' }, { 'user-agent': `Device${'\t\x80'.repeat(2)}${'x'.repeat(5000)}` })
    .post('/api/auth/login', { email: user.email, password: PASSWORD });
  const [session] = await auth.rows<{ device: string }>('select device from auth.sessions where id = $1', [
    claimsOf(body.access_token).payload.sid,
  ]);
  expect(session?.device).toMatch(/^Device {3,}x+$/);
  expect(session?.device.length).toBeLessThanOrEqual(256);
});

test('S019 values of other kinds are refused before anything is done', async () => {
  const before = await auth.rows('select count(*) from auth.guess_budgets');
  const bodies: unknown[] = [
    { email: ['x'], password: { $gt: '' } },
    { email: 'a@users.test', password: true },
    { email: 'a@users.test', password: 0 },
    { email: 'a@users.test', password: [] },
    { email: 'a@users.test', password: PASSWORD, remember: true },
    [],
    '"text"',
    'null',
  ];
  for (const body of bodies) expect((await auth.anonymous.post('/api/auth/login', body)).status).toBe(400);
  const text = await auth.anonymous.post('/api/auth/login', '{}', { 'content-type': 'text/plain' });
  const form = await auth.anonymous.post('/api/auth/login', 'email=a', {
    'content-type': 'application/x-www-form-urlencoded',
  });
  expect([text.status, form.status]).toEqual([415, 415]);
  expect(await auth.rows('select count(*) from auth.guess_budgets')).toEqual(before);
});

test('S009 a password of a megabyte is refused unhashed', async () => {
  const start = performance.now();
  const answer = await login('a@users.test', 'x'.repeat(1_000_000));
  expect(answer.status).toBe(413);
  expect(performance.now() - start).toBeLessThan(500);
});

describe('a hash of another system', () => {
  test('verifies once and is replaced in the same sign-in', async () => {
    const user = await auth.user({ hash: '$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' });

    expect((await login(user.email, 'U*U')).status).toBe(200);

    const [row] = await auth.rows<{ password_hash: string }>('select password_hash from auth.users where id = $1', [
      user.id,
    ]);
    expect(row?.password_hash).toMatch(/^bcrypt-p1:\$2b\$04\$/);
    expect((await login(user.email, 'U*U')).status).toBe(200);
    const rehashes = (await auth.events('auth.password_rehashed.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(rehashes).toHaveLength(1);
  });

  test('stays as it is when the password is wrong', async () => {
    const hash = 'pbkdf2:sha256:10000$seasalt$fd860a4a3d97e84bf7fbd68a5e2d436fda50a0b23e28df7a43cfe011ee20de07';
    const user = await auth.user({ hash });
    expect((await login(user.email, 'something wrong')).status).toBe(401);
    expect(await auth.rows('select password_hash from auth.users where id = $1', [user.id])).toEqual([
      { password_hash: hash },
    ]);
  });
});

test('beyond twenty sessions the oldest one ends', async () => {
  const user = await auth.user();
  const answers = [];
  for (let n = 0; n < 21; n++) {
    auth.clock.advance(1000);
    answers.push(await login(user.email));
  }
  const sessions = answers.map((answer) => sessionOf(auth, answer));
  const { body } = await (sessions[20] as (typeof sessions)[0]).get('/api/auth/sessions');
  const ids = body.data.map(({ id }: { id: string }) => id);
  expect(ids).toHaveLength(20);
  expect(ids).not.toContain(sessions[0]?.session_id);
});

test('every series of the catalogue is there before anything happened', async () => {
  const metrics = await (await auth.another()).metrics();
  expect(metrics).toContain('auth_login_attempts_total{method="password",outcome="failure",reason="wrong_password"} 0');
  for (const name of [
    'auth_registrations_total',
    'auth_refresh_total',
    'auth_rate_limited_total',
    'auth_lockouts_total',
    'auth_sessions_active',
    'auth_password_hash_duration_seconds_bucket',
    'auth_signing_key_age_seconds',
    'auth_failed_distinct_accounts_5m',
    'auth_failed_distinct_sources_5m',
  ])
    expect(metrics).toMatch(new RegExp(`^${name}(\\{.*\\})? \\d`, 'm'));
});
