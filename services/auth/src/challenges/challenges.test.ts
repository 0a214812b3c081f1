import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  bearer,
  challenge,
  challenges,
  login,
  mailedCode,
  mailedSecret,
  mailsTo,
  person,
  strictOrganization,
  totp,
  verify,
  withEmail,
  withTotp,
  wrongCode,
} from '../factors/test-factors.ts';
import { type AuthUnderTest, claimsOf, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const sessionsOf = async (id: string) =>
  (await auth.rows<{ n: number }>('select count(*)::integer as n from auth.sessions where user_id = $1', [id]))[0]?.n;
const sendCode = (challenge_token: string) => auth.anonymous.post('/api/auth/challenge/code', { challenge_token });

describe('a sign-in with a second factor', () => {
  test('waits for it: no session, no cookie, nothing known of the device; then the code opens one', async () => {
    const one = await withTotp(auth, await person(auth));
    const devices = 'select id from auth.devices where user_id = $1';
    const before = { sessions: await sessionsOf(one.id), devices: await auth.rows(devices, [one.id]) };

    const waiting = await login(auth, one);

    expect(waiting.status).toBe(200);
    expect(waiting.body).toEqual({
      second_factor_required: true,
      challenge_token: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      expires_in: 300,
      methods: ['totp', 'recovery'],
      enrol: [],
    });
    expect(waiting.headers.get('set-cookie')).toBeNull();
    expect({ sessions: await sessionsOf(one.id), devices: await auth.rows(devices, [one.id]) }).toEqual(before);

    const done = await verify(auth, waiting.body.challenge_token, 'totp', one.code());
    expect(done.status).toBe(200);
    expect(done.body).toMatchObject({ token_type: 'bearer', user: { id: one.id, email: one.email } });
    expect(done.body.refresh_token).toBeDefined();
    expect(claimsOf(done.body.access_token).payload).toMatchObject({ amr: ['pwd', 'otp', 'mfa'] });
    const succeeded = (await auth.events('auth.login_succeeded.v1')).filter(({ data }) => data['user_id'] === one.id);
    expect(succeeded.at(-1)).toMatchObject({ data: { second_factor: 'totp' }, actor: { user_id: one.id } });
    const metrics = await auth.metrics();
    expect(metrics).toMatch(
      /auth_login_attempts_total\{method="password",outcome="challenged",reason="second_factor"\} [1-9]/,
    );
    expect(metrics).toMatch(/auth_mfa_challenges_total\{method="totp",outcome="success"\} [1-9]/);
  });

  test('by a code from the mail, which is worth nothing after the next one', async () => {
    const one = await withEmail(auth, await person(auth));
    const token = await challenge(auth, one);
    expect((await sendCode(token)).status).toBe(202);
    const first = await mailedCode(auth, one.email);
    expect((await sendCode(token)).status).toBe(202);
    const second = await mailedCode(auth, one.email);
    expect(await mailsTo(auth, one.email, 'code')).toContainEqual(
      expect.objectContaining({ params: expect.objectContaining({ purpose: 'sign_in' }) }),
    );

    if (first !== second) expect((await verify(auth, token, 'email', first)).status).toBe(401);
    const done = await verify(auth, token, 'email', second);
    expect(done.status).toBe(200);
    expect(claimsOf(done.body.access_token).payload).toMatchObject({ amr: ['pwd', 'email', 'mfa'] });
  });

  test('S063 a challenge sends three codes, an address gets ten in an hour', async () => {
    const one = await withEmail(auth, await person(auth));
    const statuses: number[] = [];
    for (let n = 0; n < 4; n++) {
      const token = await challenge(auth, one);
      for (let sends = 0; sends < 4; sends++) statuses.push((await sendCode(token)).status);
    }
    expect(statuses.filter((status) => status === 202)).toHaveLength(9);
    expect(statuses.slice(0, 4)).toEqual([202, 202, 202, 429]);
    expect(await mailsTo(auth, one.email, 'code')).toHaveLength(10);
    auth.clock.advance(3_601_000);
    expect((await sendCode(await challenge(auth, one))).status).toBe(202);
  });

  test('is not asked for on a trusted device, for 30 days, as long as no factor is given up', async () => {
    const one = await withTotp(auth, await person(auth));
    const done = await verify(auth, await challenge(auth, one), 'totp', one.code(), { trust_device: true });
    const cookie = done.headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; ');
    expect(cookie).toContain('__Host-gatehouse_device=');

    const verifyFrom = (from: string, challenge_token: string, code: string) =>
      auth.anonymous.post(
        '/api/auth/challenge/verify',
        { challenge_token, method: 'totp', code, trust_device: true },
        { cookie: from },
      );

    auth.clock.advance(30_000);
    const again = await login(auth, one, { cookie });
    expect(claimsOf(again.body.access_token).payload).toMatchObject({ amr: ['pwd', 'mfa'] });
    expect((await login(auth, one)).body.challenge_token).toBeDefined();
    expect(
      (await login(auth, await withTotp(auth, await person(auth)), { cookie })).body.challenge_token,
    ).toBeDefined();

    const both = await withEmail(auth, { ...one, session: bearer(auth, done.body.access_token) });
    expect((await login(auth, one, { cookie })).body.challenge_token).toBeUndefined();
    await both.session.delete('/api/auth/factors/email');
    expect((await login(auth, one, { cookie })).body.challenge_token).toBeDefined();

    await verifyFrom(cookie, await challenge(auth, one), one.code());
    expect((await login(auth, one, { cookie })).body.challenge_token).toBeUndefined();
    auth.clock.advance(31 * 86_400_000);
    expect((await login(auth, one, { cookie })).body.challenge_token).toBeDefined();
  });

  test('S043 keeps the session in a cookie where that is asked for, and only then', async () => {
    const one = await withTotp(auth, await person(auth));
    const browser = { origin: 'https://app.gatehouse.test', 'x-requested-with': 'gatehouse' };
    const body = { email: one.email, password: PASSWORD, session: 'cookie' };
    const waiting = await auth.anonymous.post('/api/auth/login', body, browser);
    expect(waiting.headers.getSetCookie().filter((line) => line.includes('refresh'))).toEqual([]);

    const ask = { challenge_token: waiting.body.challenge_token, method: 'totp', code: one.code(), session: 'cookie' };
    expect((await auth.anonymous.post('/api/auth/challenge/verify', ask)).body.code).toBe('auth.origin_refused');
    const done = await auth.anonymous.post('/api/auth/challenge/verify', ask, browser);
    expect(done.status).toBe(200);
    expect(done.body.refresh_token).toBeUndefined();
    const [refresh] = done.headers.getSetCookie().filter((line) => line.startsWith('__Host-gatehouse_refresh='));
    for (const part of ['Secure', 'HttpOnly', 'SameSite=Strict', 'Path=/']) expect(refresh).toContain(`; ${part}`);
  });
});

describe('whom a second factor is asked of', () => {
  test('a platform admin without one sets it up before there is a session', async () => {
    const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'admins' });
    const admin = await auth.user({ role: 'admin' });
    await auth.rows('update auth.users set email_verified_at = now() where id = $1', [admin.id]);
    const waiting = await login(strict, admin);
    expect(waiting.body).toMatchObject({ second_factor_required: true, methods: [], enrol: ['totp'] });
    const challenge_token = waiting.body.challenge_token;

    const enrol = (method: string) => strict.anonymous.post('/api/auth/challenge/enrol', { challenge_token, method });
    expect((await enrol('email')).body.code).toBe('auth.factor_not_found');
    expect((await verify(strict, challenge_token, 'totp', '123456')).body.code).toBe('auth.code_refused');
    const begun = await enrol('totp');
    expect(begun.body).toMatchObject({ method: 'totp', expires_in: 300, qr_svg: expect.stringContaining('<svg') });
    const done = await verify(strict, challenge_token, 'totp', totp(begun.body.secret, auth.clock()));

    expect(done.status).toBe(200);
    expect(done.body.recovery_codes).toHaveLength(10);
    expect(claimsOf(done.body.access_token).payload).toMatchObject({ role: 'admin', amr: ['pwd', 'otp', 'mfa'] });
    expect((await login(auth, admin)).body.methods).toEqual(['totp', 'recovery']);
    const user = await auth.user();
    expect((await login(strict, user)).body.access_token).toBeDefined();
  });

  test('a member of an organization that asks for one, by mail where the address is confirmed', async () => {
    const one = await person(auth);
    await strictOrganization(auth, one.id);
    const unconfirmed = await person(auth, 'user', false);
    await strictOrganization(auth, unconfirmed.id);
    expect((await login(auth, unconfirmed)).body.enrol).toEqual(['totp']);
    const { body } = await login(auth, one);
    expect(body).toMatchObject({ methods: [], enrol: ['totp', 'email'] });
    const { challenge_token } = body;
    expect((await sendCode(challenge_token)).body.code).toBe('auth.factor_not_found');
    const begun = await auth.anonymous.post('/api/auth/challenge/enrol', { challenge_token, method: 'email' });
    expect({ status: begun.status, body: begun.body }).toEqual({
      status: 200,
      body: { method: 'email', expires_in: 300 },
    });
    const done = await verify(auth, challenge_token, 'email', await mailedCode(auth, one.email));
    expect(done.status).toBe(200);
    expect(done.body.recovery_codes).toHaveLength(10);
  });

  test('not guests, who may do nothing; everyone else where the platform says so', async () => {
    const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
    expect((await login(strict, await auth.user({ role: 'guest' }))).body.access_token).toBeDefined();
    expect((await login(strict, await auth.user())).body.enrol).toEqual(['totp']);
  });

  // Tried without the look at the factors in hold(): whoever knows the password sets up a second factor of their own.
  test('an enrolment that waits does not get around a factor that was set up meanwhile', async () => {
    const one = await person(auth);
    await strictOrganization(auth, one.id);
    const thief = (await login(auth, one)).body.challenge_token;
    const begun = await auth.anonymous.post('/api/auth/challenge/enrol', { challenge_token: thief, method: 'totp' });
    await withTotp(auth, one);

    const { status, body } = await verify(auth, thief, 'totp', totp(begun.body.secret, auth.clock()));
    expect({ status, code: body.code }).toEqual({ status: 401, code: 'auth.challenge_refused' });
  });

  test('an existing factor cannot be changed by a challenge', async () => {
    const one = await withTotp(auth, await person(auth));
    const challenge_token = await challenge(auth, one);
    const begun = await auth.anonymous.post('/api/auth/challenge/enrol', { challenge_token, method: 'totp' });
    expect(begun.body.code).toBe('auth.factor_not_found');
  });
});

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

describe('S046 guesses at a challenge', () => {
  test('S046 five wrong ones end it, and then the right one is worth nothing', async () => {
    const one = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    const codes: string[] = [];
    for (let n = 0; n < 6; n++) codes.push((await verify(auth, token, 'totp', wrongCode(one.code()))).body.code);
    expect(codes).toEqual([...Array(5).fill('auth.code_refused'), 'auth.challenge_refused']);
    expect((await verify(auth, token, 'totp', one.code())).body.code).toBe('auth.challenge_refused');
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  });

  // Tried without the locks on user and challenge: ten were judged, as many as the account's budget allows.
  test('S046 fifty at one instant over two instances: five are judged, the counters exact', async () => {
    const one = await withTotp(auth, await person(auth));
    const other = await auth.another();
    const token = await challenge(auth, one);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => verify(n % 2 ? other : auth, token, 'totp', wrongCode(one.code()))),
    );

    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(401));
    expect(answers.filter(({ body }) => body.code === 'auth.code_refused')).toHaveLength(5);
    const refused = (await auth.events('auth.factor_refused.v1')).filter(({ data }) => data['user_id'] === one.id);
    expect(refused).toHaveLength(5);
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(401);
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  });

  test('S046 an error of the server costs no attempt, and uses no code up', async () => {
    const one = await withEmail(auth, await withTotp(auth, await person(auth)));
    const token = await challenge(auth, one);
    await sendCode(token);
    const mailed = await mailedCode(auth, one.email);
    await auth.rows(
      `create function auth.out_of_order() returns trigger language plpgsql as $$ begin raise exception 'out of order'; end $$`,
    );
    await auth.rows(
      `create trigger out_of_order before insert on auth.sessions for each row execute function auth.out_of_order()`,
    );
    for (let n = 0; n < 4; n++) {
      expect((await verify(auth, token, 'totp', one.code())).status).toBe(500);
      expect((await verify(auth, token, 'email', mailed)).status).toBe(500);
      expect((await verify(auth, token, 'recovery', one.recovery_codes[0] as string)).status).toBe(500);
    }
    await auth.rows('drop trigger out_of_order on auth.sessions');

    for (let n = 0; n < 4; n++) await verify(auth, token, 'totp', wrongCode(one.code()));
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(200);
    const next = await challenge(auth, one);
    expect((await verify(auth, next, 'recovery', one.recovery_codes[0] as string)).status).toBe(200);
  });

  test('S046 a new code by mail refills no guesses', async () => {
    const one = await withEmail(auth, await person(auth));
    const token = await challenge(auth, one);
    let codes: string[] = [];
    for (let sends = 0; sends < 3; sends++) {
      await sendCode(token);
      const mailed = await mailedCode(auth, one.email);
      for (let n = 0; n < 2; n++) codes = [...codes, (await verify(auth, token, 'email', wrongCode(mailed))).body.code];
    }
    expect(codes).toEqual([...Array(5).fill('auth.code_refused'), 'auth.challenge_refused']);
  });
});

describe('S047 guesses at an account', () => {
  /** One wrong guess in a challenge of its own. */
  async function wrong(one: Awaited<ReturnType<typeof everything>>, method: string) {
    const token = await challenge(auth, one);
    if (method === 'totp') return verify(auth, token, 'totp', wrongCode(one.code(), one.code(1), one.code(-1)));
    if (method === 'recovery') return verify(auth, token, 'recovery', 'aaaa-bbbb-cccc-dddd-eeee-ffff');
    return verify(auth, token, 'email', '000000');
  }
  const everything = async () => withEmail(auth, await withTotp(auth, await person(auth)));

  test('S047 ten wrong ones over all factors and challenges stop the right one until the window ends', async () => {
    const one = await everything();
    const methods = ['totp', 'email', 'recovery'];
    for (let n = 0; n < 9; n++) expect((await wrong(one, methods[n % 3] as string)).status).toBe(401);
    // The tenth when a user proves once more who they are: one budget.
    const again = await one.session.post('/api/auth/reauthenticate', {
      password: one.password,
      method: 'recovery',
      code: 'wrong',
    });
    expect(again.body.code).toBe('auth.code_refused');

    for (const [method, code] of [
      ['totp', one.code()],
      ['recovery', one.recovery_codes[0] as string],
    ] as const) {
      const refused = await verify(auth, await challenge(auth, one), method, code);
      expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(800);
      const proof = await one.session.post('/api/auth/reauthenticate', { password: one.password, method, code });
      expect(proof.status).toBe(429);
    }
    await auth.redis.flush();
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(429);
    const told = (await auth.events('auth.factor_refused.v1')).filter(({ data }) => data['user_id'] === one.id);
    expect(told.map(({ data }) => data['reason'])).toEqual([
      ...Array(10).fill('wrong_code'),
      ...Array(5).fill('throttled'),
    ]);

    auth.clock.advance(901_000);
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  });

  test('S047 a success forgets them, a password that was right does not', async () => {
    const one = await everything();
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 9; n++) await wrong(one, 'recovery');
      expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
      auth.clock.advance(30_000);
    }
    for (let n = 0; n < 10; n++) await wrong(one, 'recovery');
    expect((await wrong(one, 'recovery')).status).toBe(429);
    expect((await login(auth, one)).status).toBe(200);
    expect((await wrong(one, 'totp')).status).toBe(429);
  });

  // Tried without the row locks and with the budget spent outside the transaction.
  test('S047 fifty at one instant in as many challenges over two instances: ten are judged', async () => {
    const one = await everything();
    const other = await auth.another();
    const tokens = await challenges(auth, one, 50);
    const answers = await Promise.all(
      tokens.map((token, n) => verify(n % 2 ? other : auth, token, 'totp', wrongCode(one.code()))),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array(10).fill(401), ...Array(40).fill(429)]);
  });

  test('an account is stopped alone', async () => {
    const one = await everything();
    const two = await everything();
    for (let n = 0; n < 10; n++) await wrong(one, 'recovery');
    expect((await verify(auth, await challenge(auth, two), 'totp', two.code())).status).toBe(200);
  });
});

describe('S048 one code', () => {
  // Held by the user's row and once more by the budget's: tried without both, several sessions came of one code.
  test('S048 in ten parallel verifies over two instances makes one session', async () => {
    const other = await auth.another();
    for (let round = 0; round < 5; round++) {
      const one = await withTotp(auth, await person(auth));
      const before = (await sessionsOf(one.id)) as number;
      const token = await challenge(auth, one);
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, n) => verify(n % 2 ? other : auth, token, 'totp', one.code())),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(401)]);
      expect(await sessionsOf(one.id)).toBe(before + 1);

      const later = await verify(auth, await challenge(auth, one), 'totp', one.code());
      expect(later.body.code).toBe('auth.code_refused');
    }
  });

  test('S048 in ten challenges at one instant makes one session', async () => {
    const one = await withTotp(auth, await person(auth));
    const other = await auth.another();
    const tokens = await challenges(auth, one, 10);
    const answers = await Promise.all(
      tokens.map((token, n) => verify(n % 2 ? other : auth, token, 'totp', one.code())),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(401)]);
  });

  // Tried without the locks on user and challenge: each code opened a session.
  test('S048 different right codes in one challenge at one instant make one session', async () => {
    const one = await withEmail(auth, await withTotp(auth, await person(auth)));
    const before = (await sessionsOf(one.id)) as number;
    const token = await challenge(auth, one);
    await sendCode(token);
    const mailed = await mailedCode(auth, one.email);
    const answers = await Promise.all([
      verify(auth, token, 'totp', one.code()),
      verify(auth, token, 'email', mailed),
      ...one.recovery_codes.slice(0, 4).map((code) => verify(auth, token, 'recovery', code)),
    ]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(await sessionsOf(one.id)).toBe(before + 1);
  });

  test('S048 of one step to either side counts, of two does not, and none goes back behind the last one', async () => {
    const one = await withTotp(auth, await person(auth));
    auth.clock.advance(90_000);
    for (const steps of [-2, 2]) {
      const token = await challenge(auth, one);
      expect((await verify(auth, token, 'totp', one.code(steps))).body.code).toBe('auth.code_refused');
    }
    for (const steps of [-1, 1]) {
      const token = await challenge(auth, one);
      expect((await verify(auth, token, 'totp', one.code(steps))).status).toBe(200);
    }
    const token = await challenge(auth, one);
    for (const steps of [-1, 0, 1])
      expect((await verify(auth, token, 'totp', one.code(steps))).body.code).toBe('auth.code_refused');
    auth.clock.advance(60_000);
    expect((await verify(auth, token, 'totp', one.code())).status).toBe(200);
  });

  test('S048 is worth nothing in a challenge that is older than five minutes', async () => {
    const one = await withTotp(auth, await person(auth));
    const token = await challenge(auth, one);
    auth.clock.advance(300_000);
    expect((await verify(auth, token, 'totp', one.code())).body.code).toBe('auth.challenge_refused');
    expect((await sendCode(token)).body.code).toBe('auth.challenge_refused');
  });

  test('the code that set the app up does not open a session', async () => {
    const one = await person(auth);
    const { body } = await one.session.post('/api/auth/factors/totp');
    const code = totp(body.secret, auth.clock());
    await one.session.post('/api/auth/factors/totp/confirm', { code });
    expect((await verify(auth, await challenge(auth, one), 'totp', code)).body.code).toBe('auth.code_refused');
  });
});

describe('S050 a code by mail', () => {
  test('S050 counts in its challenge only: not in another, for another user, for another purpose or after it was used', async () => {
    const one = await withEmail(auth, await person(auth));
    const two = await withEmail(auth, await person(auth));
    const a = await challenge(auth, one);
    const b = await challenge(auth, one);
    await sendCode(a);
    const code = await mailedCode(auth, one.email);

    expect((await verify(auth, b, 'email', code)).status).toBe(401);
    expect((await verify(auth, await challenge(auth, two), 'email', code)).status).toBe(401);
    const proof = await one.session.post('/api/auth/reauthenticate', { password: one.password, method: 'email', code });
    expect(proof.body.code).toBe('auth.code_refused');
    expect((await one.session.post('/api/auth/factors/email/confirm', { code })).status).toBe(401);
    const reset = { token: code, new_password: 'a long and very new password' };
    expect((await auth.anonymous.post('/api/auth/password/reset', reset)).body.code).toBe('auth.token_refused');
    const confirmed = await auth.anonymous.post('/api/auth/email/verify', { token: code });
    expect(confirmed.body.code).toBe('auth.token_refused');

    expect((await verify(auth, a, 'email', code)).status).toBe(200);
    expect((await verify(auth, a, 'email', code)).body.code).toBe('auth.challenge_refused');
  });

  test('S050 one that was sent to prove a session opens none, and none of another session', async () => {
    const one = await withEmail(auth, await person(auth));
    await one.session.post('/api/auth/reauthenticate/code');
    const code = await mailedCode(auth, one.email);
    const other = bearer(auth, one.token, { sid: '01890000-0000-7000-8000-000000000001' });
    const proof = { password: one.password, method: 'email', code };
    expect((await other.post('/api/auth/reauthenticate', proof)).status).toBe(401);
    expect((await verify(auth, await challenge(auth, one), 'email', code)).status).toBe(401);
    expect((await one.session.post('/api/auth/reauthenticate', proof)).status).toBe(200);
    expect((await one.session.post('/api/auth/reauthenticate', proof)).status).toBe(401);
  });

  test('S050 a row put under another user, purpose or challenge proves nothing there', async () => {
    const one = await withEmail(auth, await person(auth));
    const two = await withEmail(auth, await person(auth));
    const own = await challenge(auth, two);
    await sendCode(own);
    const code = await mailedCode(auth, two.email);
    const target = await challenge(auth, one);
    await auth.rows(
      `update auth.one_time_codes c set user_id = $1, bound_to = (select h.id from auth.challenges h
         where h.user_id = $1 order by h.created_at desc, h.id desc limit 1) where c.user_id = $2`,
      [one.id, two.id],
    );
    expect((await verify(auth, target, 'email', code)).body.code).toBe('auth.code_refused');
  });

  test('S050 is dead after ten minutes, and after the password, the address or the role changed', async () => {
    const changes = [
      `update auth.users set password_hash = 'another' where id = $1`,
      `update auth.users set email = 'moved-' || email where id = $1`,
      `update auth.users set role = 'admin' where id = $1`,
    ];
    for (const change of changes) {
      const one = await withEmail(auth, await person(auth));
      const token = await challenge(auth, one);
      await sendCode(token);
      const code = await mailedCode(auth, one.email);
      await auth.rows(change, [one.id]);
      expect((await verify(auth, token, 'email', code)).body.code).toBe('auth.challenge_refused');
    }
    const one = await withEmail(auth, await person(auth));
    await one.session.post('/api/auth/reauthenticate/code');
    const code = await mailedCode(auth, one.email);
    auth.clock.advance(601_000);
    const proof = { password: one.password, method: 'email', code };
    expect((await one.session.post('/api/auth/reauthenticate', proof)).body.code).toBe('auth.code_refused');
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
