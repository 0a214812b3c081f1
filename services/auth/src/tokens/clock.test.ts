import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { challenge, person, verify, withEmail, withTotp } from '../factors/test-factors.ts';
import { type AuthUnderTest, claimsOf, PASSWORD, startAuth } from '../testing.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const SCRIPT = {
  origin: 'https://gatehouse.test',
  'x-requested-with': 'gatehouse',
  'content-type': 'application/json',
};

let auth: AuthUnderTest;
beforeEach(async () => {
  auth = await startAuth({ LOGIN_BUDGET_WINDOW_SECONDS: 900 });
});
afterEach(() => auth.close());

const step = (ms: number) => auth.clock.set(new Date(auth.clock.now().getTime() + ms));
const maxAgeOf = (cookie: string | null, name: string) =>
  Number(new RegExp(`__Host-gatehouse_${name}=[^;]+;.*?Max-Age=(-?\\d+)`).exec(cookie ?? '')?.[1]);

test.each([
  ['back by an hour', -HOUR_MS],
  ['back by ten minutes', -10 * MINUTE_MS],
  ['forward by ten minutes', 10 * MINUTE_MS],
])('F36 a clock that steps %s gives no life that is negative, nothing, or longer than it is', async (_, ms) => {
  const user = await auth.user();
  const signIn = () =>
    auth
      .as({ kind: 'anonymous' }, SCRIPT)
      .post('/api/auth/login', { email: user.email, password: PASSWORD, session: 'cookie' });
  const before = await signIn();
  const token = /__Host-gatehouse_refresh=([^;]+)/.exec(before.headers.get('set-cookie') ?? '')?.[1] as string;
  step(ms);
  const refreshed = await auth
    .as({ kind: 'anonymous' }, { ...SCRIPT, cookie: `__Host-gatehouse_refresh=${token}` })
    .post('/api/auth/refresh', {});
  for (const answer of [refreshed, await signIn()]) {
    expect(answer.status).toBe(200);
    const { iat, exp } = claimsOf(answer.body.access_token).payload;
    expect([answer.body.expires_in, exp - iat]).toEqual([900, 900]);
    expect(maxAgeOf(answer.headers.get('set-cookie'), 'refresh')).toBeGreaterThan(HOUR_MS / 1000);
  }
});

test('F36 in the last moment of a session its tokens still have one', async () => {
  const user = await auth.user();
  // Off the full second, so that what is left of the session rounds to nothing.
  auth.clock.set(new Date(Math.floor(auth.clock.now().getTime() / 1000) * 1000 + 700));
  const { body } = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
  await auth.rows(`update auth.sessions set expires_at = $1, idle_expires_at = $1`, [
    new Date(auth.clock.now().getTime() + 200),
  ]);
  const last = await auth.anonymous.post('/api/auth/refresh', { refresh_token: body.refresh_token });
  expect(last.status).toBe(200);
  expect(last.body.expires_in).toBe(1);

  await auth.rows(`update auth.sessions set expires_at = $1, idle_expires_at = $1`, [
    new Date(auth.clock.now().getTime() + 200),
  ]);
  const cookie = `__Host-gatehouse_refresh=${last.body.refresh_token}`;
  const inCookie = await auth.as({ kind: 'anonymous' }, { ...SCRIPT, cookie }).post('/api/auth/refresh', {});
  expect(inCookie.status).toBe(200);
  expect(maxAgeOf(inCookie.headers.get('set-cookie'), 'refresh')).toBe(1);
});

test('F36 a challenge and a wait for the next try look no longer to a clock that is back', async () => {
  const one = await withEmail(auth, await person(auth));
  const token = await challenge(auth, one);
  const wrong = () =>
    auth.anonymous.post('/api/auth/login', { email: 'someone@else.test', password: 'not the password' });
  while ((await wrong()).status !== 429);
  step(-HOUR_MS);
  const sent = await auth.anonymous.post('/api/auth/challenge/code', { challenge_token: token });
  expect(sent.status).toBe(202);
  expect(sent.body.expires_in).toBe(300);
  const limited = await wrong();
  expect(limited.status).toBe(429);
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(Number(limited.headers.get('retry-after'))).toBeLessThanOrEqual(900);
});

test('F36 a clock that steps back gives no guesses back', async () => {
  const wrong = () =>
    auth.anonymous.post('/api/auth/login', { email: 'someone@else.test', password: 'not the password' });
  while ((await wrong()).status !== 429);
  for (const ms of [-30_000, -10 * MINUTE_MS, -HOUR_MS]) {
    step(ms);
    expect((await wrong()).status).toBe(429);
  }
});

test('F36 a code that was used is not good again when the clock steps back, nor is an older one', async () => {
  const one = await withTotp(auth, await person(auth));
  const used = one.code();
  expect((await verify(auth, await challenge(auth, one), 'totp', used)).status).toBe(200);

  step(-30_000);
  expect((await verify(auth, await challenge(auth, one), 'totp', used)).body.code).toBe('auth.code_refused');
  expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).body.code).toBe('auth.code_refused');
  step(-HOUR_MS);
  expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).body.code).toBe('auth.code_refused');
  step(HOUR_MS + MINUTE_MS);
  expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
});
