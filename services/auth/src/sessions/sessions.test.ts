import { factKey } from '@gatehouse/contracts/facts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, type Instance, isActive, signedIn, signedInAgain, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const refresh = (refresh_token: string, instance: Instance = auth) =>
  instance.anonymous.post('/api/auth/refresh', { refresh_token });

describe('sessions', () => {
  test('lists the own ones with device, address and which one asks', async () => {
    const { user, session } = await signedIn(auth);
    const second = await signedInAgain(auth, user);

    const { status, body } = await session.get('/api/auth/sessions');

    expect(status).toBe(200);
    expect(body.data).toHaveLength(2);
    expect(body.data.find((one: { current: boolean }) => one.current)).toEqual({
      id: session.session_id,
      current: true,
      device: 'node',
      device_id: expect.any(String),
      amr: ['pwd'],
      authenticated_at: expect.stringMatching(/Z$/),
      address: '192.0.2.7',
      created_at: expect.stringMatching(/Z$/),
      last_used_at: expect.stringMatching(/Z$/),
      idle_expires_at: expect.stringMatching(/Z$/),
      expires_at: expect.stringMatching(/Z$/),
    });
    expect(body.data.map(({ id }: { id: string }) => id)).toContain(second.session.session_id);
  });

  test('S031 after logout neither token lives, on any instance', async () => {
    const { session, token } = await signedIn(auth);

    expect((await session.post('/api/auth/logout')).status).toBe(204);

    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await refresh(token, await auth.another())).status).toBe(401);
    expect((await session.post('/api/auth/logout')).status).toBe(401);
    expect((await auth.events('auth.logout.v1')).at(-1)?.data).toEqual({
      user_id: session.user_id,
      session_id: session.session_id,
    });
  });

  test('the cached fact of a session is gone before the answer to its end', async () => {
    const { session } = await signedIn(auth);
    await isActive(auth, session.session_id);
    const key = factKey.session(session.session_id);
    expect(JSON.parse((await auth.redis.client.get(key)) ?? '')).toMatchObject({
      active: true,
      user_id: session.user_id,
    });

    await session.post('/api/auth/logout');

    expect(await auth.redis.client.get(key)).toBe('');
    await isActive(auth, session.session_id);
    expect(await auth.redis.client.get(key)).toBe('');
  });

  test('ends one, and leaves the others', async () => {
    const { user, session } = await signedIn(auth);
    const second = await signedInAgain(auth, user);

    expect((await session.delete(`/api/auth/sessions/${second.session.session_id}`)).status).toBe(204);

    expect(await isActive(auth, second.session.session_id)).toBe(false);
    expect(await isActive(auth, session.session_id)).toBe(true);
    const revoked = (await auth.events('auth.session_revoked.v1')).at(-1);
    expect(revoked?.data).toEqual({ user_id: user.id, session_id: second.session.session_id, reason: 'user' });
  });

  test("S072 another user's session is not found and goes on", async () => {
    const mine = await signedIn(auth);
    const theirs = await signedIn(auth);
    expect((await mine.session.delete(`/api/auth/sessions/${theirs.session.session_id}`)).status).toBe(404);
    expect(await isActive(auth, theirs.session.session_id)).toBe(true);
  });

  test('ends all, this one included', async () => {
    const { user, session } = await signedIn(auth);
    const second = await signedInAgain(auth, user);
    const stranger = await signedIn(auth);

    expect((await session.delete('/api/auth/sessions')).status).toBe(204);

    for (const one of [session, second.session]) expect(await isActive(auth, one.session_id)).toBe(false);
    expect(await isActive(auth, stranger.session.session_id)).toBe(true);
  });

  test('S117 an id that is none is refused', async () => {
    const { session } = await signedIn(auth);
    expect((await session.delete('/api/auth/sessions/not-a-uuid')).status).toBe(400);
  });

  test('nobody is nobody, and a key is not a user', async () => {
    for (const path of ['/api/auth/sessions', '/api/auth/me']) {
      expect((await auth.anonymous.get(path)).status).toBe(401);
      expect((await auth.as({ kind: 'api_key' }).get(path)).status).toBe(403);
    }
    expect((await auth.anonymous.post('/api/auth/logout')).status).toBe(401);
  });
});

test('only the gateway itself asks for facts', async () => {
  const { session } = await signedIn(auth);
  expect((await session.get(`/internal/sessions/${session.session_id}`)).status).toBe(404);
  expect((await auth.anonymous.get('/internal/jwks')).status).toBe(404);
});
