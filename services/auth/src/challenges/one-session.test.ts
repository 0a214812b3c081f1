import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  challenge,
  challenges,
  mailedCode,
  person,
  totp,
  verify,
  withEmail,
  withTotp,
} from '../factors/test-factors.ts';
import { type AuthUnderTest, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const sessionsOf = async (id: string) =>
  (await auth.rows<{ n: number }>('select count(*)::integer as n from auth.sessions where user_id = $1', [id]))[0]?.n;
const sendCode = (challenge_token: string) => auth.anonymous.post('/api/auth/challenge/code', { challenge_token });

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
