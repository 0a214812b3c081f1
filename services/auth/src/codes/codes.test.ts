import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bearer, challenge, mailedCode, person, verify, withEmail } from '../factors/test-factors.ts';
import { type AuthUnderTest, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const sendCode = (challenge_token: string) => auth.anonymous.post('/api/auth/challenge/code', { challenge_token });

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
