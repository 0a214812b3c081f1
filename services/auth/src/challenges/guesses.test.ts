import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  challenge,
  challenges,
  login,
  mailedCode,
  person,
  verify,
  withEmail,
  withTotp,
  wrongCode,
} from '../factors/test-factors.ts';
import { type AuthUnderTest, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const sendCode = (challenge_token: string) => auth.anonymous.post('/api/auth/challenge/code', { challenge_token });

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
