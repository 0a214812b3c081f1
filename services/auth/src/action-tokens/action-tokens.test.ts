import { transaction } from '@gatehouse/kit/db';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth, type TestUser } from '../testing.ts';
import { cancelTokens, issueToken, type Purpose, redeemToken } from './action-tokens.ts';

const PURPOSES: Purpose[] = [
  'verify_address',
  'password_reset',
  'unlock',
  'not_me',
  'email_change_old',
  'email_change_new',
  'restore_account',
];
const LIFE_MS = 60_000;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const issue = ({ id, email }: TestUser, purpose: Purpose) =>
  transaction(auth.deps.pool, (tx) => issueToken(auth.deps, tx, { purpose, user_id: id, email, lifeMs: LIFE_MS }));
const redeem = (purpose: Purpose, token: string) =>
  transaction(auth.deps.pool, (tx) => redeemToken(auth.deps, tx, purpose, token));

describe.each(PURPOSES)('the token of a mailed link for %s', (purpose) => {
  test('S028 is good as it is, in no other spelling and for nothing else', async () => {
    const user = await auth.user();
    const { token } = await issue(user, purpose);
    const altered = Array.from(
      token,
      (char, at) => token.slice(0, at) + (char === 'A' ? 'B' : 'A') + token.slice(at + 1),
    );
    const others = [...altered, '', token.slice(0, -1), `${token}A`, `${token}=`, ` ${token}`, token.toLowerCase()];
    // A claim beside it, as if it were a signed one.
    const claim = Buffer.from(JSON.stringify({ email: user.email, role: 'admin' })).toString('base64url');
    for (const other of [...others, `${token}.${claim}`, `${claim}.${token}`, `${claim}.`])
      expect([other, await redeem(purpose, other)]).toEqual([other, undefined]);
    for (const other of PURPOSES.filter((one) => one !== purpose))
      expect([other, await redeem(other, token)]).toEqual([other, undefined]);

    expect(await redeem(purpose, token)).toMatchObject({ user_id: user.id, email: user.email });
    expect(await redeem(purpose, token)).toBeUndefined();
  });

  test('counts once of ten times at one instant, not after its time, and not when it was cancelled', async () => {
    const user = await auth.user();
    const { token } = await issue(user, purpose);
    const taken = await Promise.all(Array.from({ length: 10 }, () => redeem(purpose, token)));
    expect(taken.filter((one) => one !== undefined)).toHaveLength(1);

    const late = await issue(user, purpose);
    auth.clock.advance(LIFE_MS);
    expect(await redeem(purpose, late.token)).toBeUndefined();

    const cancelled = await issue(user, purpose);
    await transaction(auth.deps.pool, (tx) => cancelTokens(tx, user.id, [purpose]));
    expect(await redeem(purpose, cancelled.token)).toBeUndefined();
  });

  test('is kept as a hash', async () => {
    const { token } = await issue(await auth.user(), purpose);
    const dump = JSON.stringify(
      await auth.rows(`select t.*, encode(t.token_hash, 'escape') from auth.action_tokens t`),
    );
    expect(dump).not.toContain(token);
  });
});
