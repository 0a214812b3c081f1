import { transaction } from '@gatehouse/kit/db';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, claimsOf, isActive, SETTINGS, signedIn, signedInAgain, startAuth } from '../testing.ts';
import { accessTokenOf, endSessionsOf, markAuthenticated } from './sessions.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const ACTOR = { kind: 'service' as const, request_id: '', trace_id: '', address: '', agent: '' };

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const refresh = (refresh_token: string, instance: Pick<AuthUnderTest, 'anonymous'> = auth) =>
  instance.anonymous.post('/api/auth/refresh', { refresh_token });
const promote = (id: string) => auth.rows(`update auth.users set role = 'admin' where id = $1`, [id]);

describe('S040 whoever becomes an administrator is held to an administrator’s limits at once', () => {
  test('a session that rested longer is dead everywhere, and in no list', async () => {
    const { user, session } = await signedIn(auth);
    auth.clock.advance(HOUR_MS + 1);
    expect(await isActive(auth, session.session_id)).toBe(true);
    await promote(user.id);
    await auth.redis.client.flushall();
    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await session.get('/api/auth/sessions')).body.data).toEqual([]);
  });

  test('a session that is in use ends with the twelve hours since it began, and its tokens before', async () => {
    const { user, session, token } = await signedIn(auth);
    let current = token;
    for (let hour = 0; hour < 11; hour++) {
      auth.clock.advance(HOUR_MS);
      current = (await refresh(current)).body.refresh_token;
    }
    await promote(user.id);
    auth.clock.advance(59 * MINUTE_MS);
    const last = await refresh(current);
    expect(last.body.expires_in).toBe(60);
    const [listed] = (await session.get('/api/auth/sessions')).body.data;
    expect(new Date(listed.expires_at).getTime() - new Date(listed.created_at).getTime()).toBe(12 * HOUR_MS);
    auth.clock.advance(MINUTE_MS);
    expect((await refresh(last.body.refresh_token)).body.code).toBe('auth.session_expired');
    expect(await isActive(auth, session.session_id)).toBe(false);
  });
});

test('F23 a flushed Redis brings no ended session back', async () => {
  const { user, session, token } = await signedIn(auth);
  const second = await signedInAgain(auth, user);
  await isActive(auth, session.session_id);
  await session.post('/api/auth/logout');
  await auth.redis.client.flushall();
  const other = await auth.another();
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await refresh(token, other)).status).toBe(401);
  await auth.redis.client.flushall();
  expect((await refresh(second.token, other)).status).toBe(200);
});

describe('a new proof of who the user is', () => {
  const prove = (sessionId: string) =>
    transaction(auth.deps.pool, (tx) => markAuthenticated(auth.deps, tx, sessionId, ['pwd', 'otp', 'mfa']));

  test('is told by the next access token, and by those of later refreshes', async () => {
    const { session, token } = await signedIn(auth);
    auth.clock.advance(20 * MINUTE_MS);
    const proved = accessTokenOf(auth.deps, await prove(session.session_id));
    const provedAt = Math.floor(auth.clock.now().getTime() / 1000);
    expect(proved).toMatchObject({ token_type: 'bearer', expires_in: 900 });
    expect(claimsOf(proved.access_token).payload).toMatchObject({
      sid: session.session_id,
      auth_time: provedAt,
      amr: ['pwd', 'otp', 'mfa'],
    });
    auth.clock.advance(20 * MINUTE_MS);
    const { body } = await refresh(token);
    expect(claimsOf(body.access_token).payload).toMatchObject({ auth_time: provedAt, amr: ['pwd', 'otp', 'mfa'] });
  });

  test('comes too late for a session that has ended', async () => {
    const { session } = await signedIn(auth);
    await session.post('/api/auth/logout');
    await expect(prove(session.session_id)).rejects.toMatchObject({ code: 'auth.session_ended' });
  });
});

test('all sessions of a user end but the one that may go on', async () => {
  const { user, session } = await signedIn(auth);
  const second = await signedInAgain(auth, user);
  await transaction(auth.deps.pool, (tx) =>
    endSessionsOf(auth.deps, tx, ACTOR, user.id, 'password_changed', { except: session.session_id }),
  );
  expect(await isActive(auth, session.session_id)).toBe(true);
  expect(await isActive(auth, second.session.session_id)).toBe(false);
});

test('F41 a session goes on while JWT_SECRET is replaced, and is sealed with the new one', async () => {
  const next = 'q7Rz2Kx9Vn4Lm6Tb1Wc8Hd3Jf5Gs0PyA';
  const { session, token } = await signedIn(auth);
  const swapped = await auth.another({ JWT_SECRET: next, JWT_SECRET_ALTERNATE: SETTINGS.JWT_SECRET });
  const first = await refresh(token, swapped);
  expect(first.status).toBe(200);
  // What is still on the old one, with the new one as its alternate, goes on too.
  const prepared = await auth.another({ JWT_SECRET_ALTERNATE: next });
  const second = await refresh(first.body.refresh_token, prepared);
  expect(second.status).toBe(200);
  const third = await refresh(second.body.refresh_token, swapped);
  expect(third.status).toBe(200);
  const [row] = await auth.rows<{ end_reason: null }>('select end_reason from auth.sessions where id = $1', [
    session.session_id,
  ]);
  expect(row?.end_reason).toBeNull();
});

test('F36 a clock that steps back gives no token a negative life, and ends nothing', async () => {
  const { session, token } = await signedIn(auth);
  const now = auth.clock.now();
  auth.clock.set(new Date(now.getTime() - HOUR_MS));
  const answer = await refresh(token);
  expect(answer.status).toBe(200);
  expect(answer.body.expires_in).toBeGreaterThan(0);
  // Its parent is within its grace for as long as the clock says that the exchange is still to come.
  expect((await refresh(token)).body.refresh_token).toBe(answer.body.refresh_token);
  auth.clock.set(now);
  expect(await isActive(auth, session.session_id)).toBe(true);
});

test('a session’s end stands although it was being refreshed at that instant', async () => {
  for (let round = 0; round < 10; round++) {
    const { session, token } = await signedIn(auth);
    await Promise.all([refresh(token), session.post('/api/auth/logout'), refresh(token)]);
    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await refresh(token)).status).toBe(401);
  }
});
