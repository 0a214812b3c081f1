import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { challenge, mailedSecret, person, verify, withTotp, wrongCode } from '../factors/test-factors.ts';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const sessionsOf = async (id: string) =>
  (await auth.rows<{ n: number }>('select count(*)::integer as n from auth.sessions where user_id = $1', [id]))[0]?.n;

describe('S045 a challenge token', () => {
  test('S045 S027 opens nothing else: it is no credential, no refresh token, no link', async () => {
    const one = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    // Opaque: neither a JWT, which has two dots, nor anything that the gateway takes for a credential.
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(token).not.toMatch(/^(gh|ezak)/);
    const anywhere = { authorization: `Bearer ${token}` };
    for (const [method, path] of [
      ['get', '/api/auth/me'],
      ['get', '/api/auth/factors'],
      ['post', '/api/auth/factors/totp'],
      ['post', '/api/auth/reauthenticate/code'],
      ['get', '/api/auth/sessions'],
    ] as const)
      expect((await auth.anonymous.with(anywhere)[method](path)).status).toBe(401);
    const refreshed = await auth.anonymous.post('/api/auth/refresh', { refresh_token: token });
    expect(refreshed.body.code).toBe('auth.refresh_refused');
    const verified = await auth.anonymous.post('/api/auth/email/verify', { token });
    expect(verified.status).toBe(400);
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(200);
  });
});

describe('S056', () => {
  test('S056 the factor of another user opens no challenge', async () => {
    const one = await withTotp(auth, await person(auth));
    const two = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    expect((await verify(auth, token, 'totp', two.code())).body.code).toBe('auth.code_refused');
    expect((await verify(auth, token, 'email', '123456')).body.code).toBe('auth.factor_not_found');
    expect((await verify(auth, 'x'.repeat(43), 'totp', one.code())).body.code).toBe('auth.challenge_refused');
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(200);
  });

  test('S056 empty, null, missing and foreign values are refused, and the challenge stays as it was', async () => {
    const one = await withTotp(auth, await person(auth));
    const challenge_token = await challenge(auth, one);
    const good = { challenge_token, method: 'totp', code: one.code() };
    const bodies: unknown[] = [
      {},
      null,
      [],
      'null',
      { ...good, code: '' },
      { ...good, code: '   ' },
      { ...good, code: null },
      { ...good, code: 123456 },
      { ...good, code: [one.code()] },
      { ...good, code: { $gt: '' } },
      { ...good, method: 'sms' },
      { ...good, method: null },
      { ...good, challenge_token: '' },
      { ...good, challenge_token: null },
      { ...good, user_id: one.id },
      { ...good, trust_device: 'yes' },
      { code: one.code(), method: 'totp' },
    ];
    const before = await auth.rows('select c::text from auth.challenges c where c.user_id = $1', [one.id]);
    for (const body of bodies)
      expect((await auth.anonymous.post('/api/auth/challenge/verify', body === null ? 'null' : body)).status).toBe(400);
    expect((await auth.anonymous.post('/api/auth/challenge/verify')).status).toBe(415);
    for (const path of ['verify', 'code', 'enrol'])
      expect((await auth.anonymous.get(`/api/auth/challenge/${path}`)).status).toBe(405);
    expect(await auth.rows('select c::text from auth.challenges c where c.user_id = $1', [one.id])).toEqual(before);
    expect((await auth.anonymous.post('/api/auth/challenge/verify', good)).status).toBe(200);
  });
});

describe('what happens meanwhile', () => {
  const CHANGES: [string, string][] = [
    ['disabled', `update auth.users set status = 'disabled' where id = $1`],
    ['deleted', `update auth.users set status = 'deleted' where id = $1`],
    ['told to set a new password', `update auth.users set password_reset_required = true where id = $1`],
    ['demoted', `update auth.users set role = 'guest' where id = $1`],
    ['given another password', `update auth.users set password_hash = 'another' where id = $1`],
  ];

  test.each(CHANGES)('an account that is %s makes the challenge worthless, for good', async (_, change) => {
    const one = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    const [before] = await auth.rows<Record<string, unknown>>('select * from auth.users where id = $1', [one.id]);
    await auth.rows(change, [one.id]);
    const { status, body } = await verify(auth, token, 'totp', one.code());
    expect({ status, code: body.code }).toEqual({ status: 401, code: 'auth.challenge_refused' });
    const refused = (await auth.events('auth.challenge_refused.v1')).filter(({ data }) => data['user_id'] === one.id);
    expect(refused).toMatchObject([{ data: { reason: 'account_changed' }, outcome: 'denied' }]);
    // Back to what it was: the challenge does not come back.
    await auth.rows(
      'update auth.users set status = $2, password_reset_required = $3, role = $4, password_hash = $5 where id = $1',
      [one.id, before?.['status'], before?.['password_reset_required'], before?.['role'], before?.['password_hash']],
    );
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(401);
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  });

  test('a sign-in that hashes the password anew still ends', async () => {
    const one = await withTotp(auth, await person(auth));
    const weaker = await auth.another({ BCRYPT_COST: 5 });
    await auth.rows('update auth.users set password_hash = $2 where id = $1', [
      one.id,
      await weaker.deps.hasher.hash(PASSWORD),
    ]);
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  });

  test('S053 a password that was set by a link opens nothing before the second factor', async () => {
    const one = await withTotp(auth, await person(auth));
    const waiting = await challenge(auth, one);
    await auth.anonymous.post('/api/auth/password/forgot', { email: one.email });
    const token = await mailedSecret(auth, one.email, 'password-reset');
    const before = await sessionsOf(one.id);
    const new_password = 'quite another violet tram';
    const reset = await auth.anonymous.post('/api/auth/password/reset', { token, new_password });
    expect({ status: reset.status, cookie: reset.headers.get('set-cookie') }).toEqual({ status: 204, cookie: null });

    expect((await verify(auth, waiting, 'totp', one.code())).body.code).toBe('auth.challenge_refused');
    const { status, body } = await auth.anonymous.post('/api/auth/login', { email: one.email, password: new_password });
    expect({ status, waits: body.second_factor_required, methods: body.methods }).toEqual({
      status: 200,
      waits: true,
      methods: ['totp', 'recovery'],
    });
    expect(await sessionsOf(one.id)).toBe(before);
    expect((await verify(auth, body.challenge_token, 'totp', one.code())).status).toBe(200);
  });

  test('F23 a flushed Redis ends no challenge and gives no guesses', async () => {
    const one = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    for (let n = 0; n < 4; n++) await verify(auth, token, 'totp', wrongCode(one.code()));
    await auth.redis.flush();
    expect((await verify(auth, token, 'totp', wrongCode(one.code()))).status).toBe(401);
    expect((await verify(auth, token, 'totp', one.code())).body.code).toBe('auth.challenge_refused');
  });
});
