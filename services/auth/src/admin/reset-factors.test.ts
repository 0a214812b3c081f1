import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { challenge, login, mailsTo, person, verify, withEmail, withTotp, wrongCode } from '../factors/test-factors.ts';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { administration, REASON } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { admin, act, about } = administration(() => auth);

const stop = async (user: { email: string }, right: string) => {
  for (let n = 0; n < 2; n++) {
    const token = await challenge(auth, user);
    for (let guess = 0; guess < 5; guess++) await verify(auth, token, 'totp', wrongCode(right));
  }
};

describe('an administrator removes the second factors of a user who has lost them', () => {
  test('MFA: all of them go, with sessions, trust, challenges and the stop; the user is told and it is on record', async () => {
    const who = await admin();
    const one = await withEmail(auth, await withTotp(auth, await person(auth)));
    const waiting = await challenge(auth, one);
    const trusting = await verify(auth, waiting, 'totp', one.code(), { trust_device: true });
    expect(trusting.status).toBe(200);
    await stop(one, one.code());
    const pending = await challenge(auth, one);
    expect((await verify(auth, pending, 'recovery', one.recovery_codes[0] as string)).status).toBe(429);

    const done = await act(who, one.id, 'reset-factors');

    expect(done).toMatchObject({ status: 200, body: { second_factors: [], sessions: 0 } });
    for (const table of ['factors', 'recovery_codes', 'challenges', 'one_time_codes'])
      expect(await auth.rows(`select 1 from auth.${table} where user_id = $1`, [one.id])).toEqual([]);
    const trusted = await auth.rows('select 1 from auth.devices where user_id = $1 and trusted_until is not null', [
      one.id,
    ]);
    expect(trusted).toEqual([]);
    expect((await verify(auth, pending, 'recovery', one.recovery_codes[0] as string)).body.code).toBe(
      'auth.challenge_refused',
    );
    expect((await mailsTo(auth, one.email, 'factor-changed')).at(-1)?.params).toMatchObject({
      change: 'reset_by_admin',
      address: '',
    });
    expect(await about('auth.user_factors_reset.v1', one.id)).toMatchObject([
      {
        outcome: 'success',
        actor: { user_id: who.id },
        data: { reason: REASON, old: { second_factors: ['totp', 'email', 'recovery'] }, new: { second_factors: [] } },
      },
    ]);
    expect((await login(auth, one)).body.access_token).toBeDefined();
    expect((await act(who, one.id, 'reset-factors')).body.code).toBe('conflict');
  });

  test('MFA: where a second factor is asked for, the next sign-in sets one up', async () => {
    const one = await withTotp(auth, await person(auth));
    await act(await admin(), one.id, 'reset-factors');
    const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
    expect((await login(strict, one)).body).toMatchObject({ methods: [], enrol: ['totp', 'email'] });
  });

  test('MFA: never for oneself, never by another user, and not without fresh proof and second factor', async () => {
    const who = await admin();
    expect((await act(who, who.id, 'reset-factors')).body.code).toBe('conflict');
    expect(await about('auth.user_change_refused.v1', who.id)).toMatchObject([
      { outcome: 'denied', data: { action: 'reset_factors', why: 'oneself' } },
    ]);
    const one = await withTotp(auth, await person(auth));
    expect((await act(one.session, one.id, 'reset-factors')).status).toBe(403);
    const someone = { kind: 'user', sub: who.id, role: 'admin' } as const;
    const now = Math.floor(Date.now() / 1000);
    expect((await act(auth.as({ ...someone, amr: ['pwd'] }), one.id, 'reset-factors')).body.code).toBe(
      'auth.second_factor_required',
    );
    expect((await act(auth.as({ ...someone, auth_time: now - 700 }), one.id, 'reset-factors')).body.code).toBe(
      'auth.reauth_required',
    );
  });
});

test('S047 an administrator who unlocks an account ends the stop of its second factors too', async () => {
  const one = await withTotp(auth, await person(auth));
  await stop(one, one.code());
  expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(429);
  expect((await act(await admin(), one.id, 'unlock')).status).toBe(200);
  expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
});
