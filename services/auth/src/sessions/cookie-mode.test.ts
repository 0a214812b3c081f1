import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, isActive, PASSWORD, sessionOf, signedIn, startAuth, type TestUser } from '../testing.ts';

const OWN = { origin: 'https://gatehouse.test', 'x-requested-with': 'gatehouse' };
const SESSION_COOKIE =
  /^__Host-gatehouse_refresh=ghr_[\w-]+; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=(\d+)$/;
const CLEARED = '__Host-gatehouse_refresh=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ ENVIRONMENT: 'staging' });
});
afterAll(() => auth.close());

const refreshCookieOf = (answer: { headers: Headers }) =>
  answer.headers.getSetCookie().find((one) => one.startsWith('__Host-gatehouse_refresh=')) ?? '';
const pair = (setCookie: string) => setCookie.split(';')[0] as string;

const loginByCookie = (user: TestUser, headers: Record<string, string> = {}) =>
  auth.anonymous.post(
    '/api/auth/login',
    { email: user.email, password: PASSWORD, session: 'cookie' },
    { ...OWN, ...headers },
  );

async function console_(role = 'user') {
  const user = await auth.user({ role });
  const answer = await loginByCookie(user);
  expect(answer.status).toBe(200);
  return { user, answer, cookie: pair(refreshCookieOf(answer)), session: sessionOf(auth, answer) };
}

const refresh = (cookie: string, headers: Record<string, string> = {}) =>
  auth.anonymous.post('/api/auth/refresh', {}, { ...OWN, cookie, ...headers });
const logout = (cookie: string, headers: Record<string, string> = {}) =>
  auth.anonymous.post('/api/auth/logout', undefined, {
    ...OWN,
    'content-type': 'application/json',
    cookie,
    ...headers,
  });

describe('S043 a session in a cookie', () => {
  test('has its refresh token there and nowhere else, for as long as it may last', async () => {
    const { answer } = await console_();
    const [, seconds] = SESSION_COOKIE.exec(refreshCookieOf(answer)) ?? [];
    expect(Number(seconds)).toBe(30 * 86_400);
    expect(answer.headers.getSetCookie()).toHaveLength(2);
    expect(answer.body.refresh_token).toBeUndefined();
    expect(JSON.stringify(answer.body)).not.toContain('ghr_');
    expect(answer.headers.get('cache-control')).toBe('no-store');

    const admin = await console_('admin');
    expect(Number(SESSION_COOKIE.exec(refreshCookieOf(admin.answer))?.[1])).toBe(12 * 3600);
  });

  test('goes on by its cookie, which lives no longer than the session', async () => {
    const { cookie, session } = await console_();
    auth.clock.advance(3_600_000);
    const answer = await refresh(cookie);

    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body).sort()).toEqual(['access_token', 'expires_in', 'token_type']);
    expect(Number(SESSION_COOKIE.exec(refreshCookieOf(answer))?.[1])).toBe(30 * 86_400 - 3600);
    expect(sessionOf(auth, answer).session_id).toBe(session.session_id);
    expect((await refresh(pair(refreshCookieOf(answer)))).status).toBe(200);
  });

  test('a sign-in without the wish sets none', async () => {
    const user = await auth.user();
    const answer = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD }, OWN);
    expect(refreshCookieOf(answer)).toBe('');
    expect(answer.body.refresh_token).toMatch(/^ghr_/);
    const odd = { email: user.email, password: PASSWORD, session: 'body' };
    expect((await auth.anonymous.post('/api/auth/login', odd, OWN)).status).toBe(400);
  });

  test('that a sign-in takes the cookie of ends, its user’s or another’s; in another browser it goes on', async () => {
    const first = await console_();
    const elsewhere = await loginByCookie(first.user);
    const again = await loginByCookie(first.user, { cookie: first.cookie });

    expect(pair(refreshCookieOf(again))).not.toBe(first.cookie);
    expect(await isActive(auth, first.session.session_id)).toBe(false);
    expect(await isActive(auth, sessionOf(auth, elsewhere).session_id)).toBe(true);
    expect((await auth.events('auth.session_revoked.v1')).at(-1)?.data).toMatchObject({ reason: 'replaced' });

    const other = await loginByCookie(await auth.user(), { cookie: pair(refreshCookieOf(again)) });
    expect(other.status).toBe(200);
    expect(await isActive(auth, sessionOf(auth, again).session_id)).toBe(false);
  });

  test('is not ended by a sign-in that fails, or by a cookie that somebody made up', async () => {
    const { cookie, session, user } = await console_();
    const wrong = { email: user.email, password: 'not the right one', session: 'cookie' };
    expect((await auth.anonymous.post('/api/auth/login', wrong, { ...OWN, cookie })).status).toBe(401);
    await loginByCookie(await auth.user(), { cookie: `${cookie.slice(0, -8)}AAAAAAAA` });
    expect(await isActive(auth, session.session_id)).toBe(true);
  });

  test('is signed out by its cookie alone, which is cleared', async () => {
    const { cookie, session, user } = await console_();
    const answer = await logout(cookie);

    expect(answer.status).toBe(204);
    expect(answer.headers.getSetCookie()).toEqual([CLEARED]);
    expect(await isActive(auth, session.session_id)).toBe(false);
    const told = (await auth.events('auth.logout.v1')).at(-1);
    expect(told).toMatchObject({ data: { session_id: session.session_id }, actor: { kind: 'user', user_id: user.id } });

    const twice = await logout(cookie);
    expect(twice).toMatchObject({ status: 401, body: { code: 'auth.session_ended' } });
    expect(twice.headers.getSetCookie()).toEqual([CLEARED]);
    expect((await refresh(cookie)).headers.getSetCookie()).toEqual([CLEARED]);
  });

  test('S039 is signed out by its own access token, and not by that of another', async () => {
    const a = await console_();
    const b = await console_();
    expect((await a.session.post('/api/auth/logout', undefined, { cookie: b.cookie })).status).toBe(400);
    for (const { session } of [a, b]) expect(await isActive(auth, session.session_id)).toBe(true);
    const fine = await a.session.post('/api/auth/logout', undefined, { cookie: a.cookie });
    expect(fine.status).toBe(204);
    expect(fine.headers.getSetCookie()).toEqual([CLEARED]);
  });

  test('S039 is not refreshed beside the token of another, whichever of them is in the cookie', async () => {
    const a = await console_();
    const { token } = await signedIn(auth);
    const answer = await auth.anonymous.post(
      '/api/auth/refresh',
      { refresh_token: token },
      { ...OWN, cookie: a.cookie },
    );
    expect(answer.status).toBe(400);
    expect((await refresh(`${a.cookie}; ${a.cookie}`)).status).toBe(400);
    expect((await refresh(a.cookie)).status).toBe(200);
    expect((await auth.anonymous.post('/api/auth/refresh', { refresh_token: token })).status).toBe(200);
  });
});

describe('S044 a page of another site', () => {
  const foreign: [string, Record<string, string>][] = [
    ['evil', { origin: 'https://evil.test' }],
    ['null', { origin: 'null' }],
    ['none', { origin: '' }],
    ['a suffix', { origin: 'https://gatehouse.test.evil.test' }],
    ['a look-alike', { origin: 'https://gatehouseXtest' }],
    ['another scheme', { origin: 'http://gatehouse.test' }],
    ['another port', { origin: 'https://gatehouse.test:444' }],
    ['this machine, outside development', { origin: 'http://localhost:3000' }],
    ['without our header', { 'x-requested-with': '' }],
    ['with a browser’s header', { 'x-requested-with': 'XMLHttpRequest' }],
  ];

  test.each(foreign)('neither signs in to a cookie, nor refreshes, nor signs out: %s', async (_name, headers) => {
    const { cookie, session, user } = await console_();
    const refused = [await loginByCookie(user, headers), await refresh(cookie, headers), await logout(cookie, headers)];
    for (const answer of refused) {
      expect(answer).toMatchObject({ status: 403, body: { code: 'auth.origin_refused' } });
      expect(answer.headers.getSetCookie()).toEqual([]);
    }
    expect(await isActive(auth, session.session_id)).toBe(true);
    expect((await refresh(cookie)).status).toBe(200);
  });

  test('cannot send JSON as something that needs no leave', async () => {
    const { cookie, session } = await console_();
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/jsonx',
      '',
    ]) {
      const answers = [await refresh(cookie, { 'content-type': type }), await logout(cookie, { 'content-type': type })];
      expect(answers.map(({ status }) => status)).toEqual([415, 403]);
    }
    expect(await isActive(auth, session.session_id)).toBe(true);
  });

  test('that is named in the settings may', async () => {
    const { cookie } = await console_();
    expect((await refresh(cookie, { origin: 'https://app.gatehouse.test' })).status).toBe(200);
  });

  test('a refusal is recorded', async () => {
    const { cookie } = await console_();
    const before = (await auth.events('access.denied.v1')).length;
    await refresh(cookie, { origin: 'https://evil.test' });
    expect((await auth.events('access.denied.v1')).slice(before)).toMatchObject([
      { data: { route: '/api/auth/refresh', code: 'auth.origin_refused' } },
    ]);
  });
});

test('nobody signs out without a credential, and no API key does', async () => {
  expect(await auth.anonymous.post('/api/auth/logout')).toMatchObject({ status: 401, body: { code: 'auth.required' } });
  expect((await auth.as({ kind: 'api_key' }).post('/api/auth/logout')).status).toBe(403);
  expect((await logout('__Host-gatehouse_refresh=')).status).toBe(401);
  expect((await logout('__host-gatehouse_refresh=x')).status).toBe(401);
});

test('the device’s cookie is no session: it opens nothing', async () => {
  const { answer } = await console_();
  const device = answer.headers.getSetCookie().find((one) => one.startsWith('__Host-gatehouse_device=')) ?? '';
  const value = pair(device).split('=')[1];
  expect((await refresh(`__Host-gatehouse_refresh=${value}`)).status).toBe(401);
  expect((await auth.anonymous.post('/api/auth/refresh', { refresh_token: value })).status).toBe(401);
});
