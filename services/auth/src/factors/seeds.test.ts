import { transaction } from '@gatehouse/kit/db';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { cancelFactorsOf } from './factors.ts';
import { challenge, login, person, verify, withEmail, withTotp } from './test-factors.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

test('a seed that was put into another row does not open there, and the log says so', async () => {
  const one = await withTotp(auth, await person(auth));
  const other = await withTotp(auth, await person(auth));
  await auth.rows(
    `update auth.factors f set secret_sealed = (select o.secret_sealed from auth.factors o
       where o.user_id = $2 and o.method = 'totp') where f.user_id = $1 and f.method = 'totp'`,
    [one.id, other.id],
  );
  const token = await challenge(auth, one);
  expect((await verify(auth, token, 'totp', other.code())).body.code).toBe('auth.code_refused');
  expect((await verify(auth, token, 'totp', one.code())).body.code).toBe('auth.code_refused');
  expect((await verify(auth, token, 'recovery', one.recovery_codes[0] as string)).status).toBe(200);
});

test('a seed is sealed anew with the secret that replaces the one it was sealed with', async () => {
  const one = await withTotp(auth, await person(auth));
  const sealed = async () =>
    (
      await auth.rows<{ secret_sealed: Buffer }>(
        `select secret_sealed from auth.factors where user_id = $1 and method = 'totp'`,
        [one.id],
      )
    )[0]?.secret_sealed.toString('hex');
  const before = await sealed();
  const deps = auth.deps;
  const [own] = deps.secrets.factors;
  const next = Buffer.alloc(32, 7);
  Object.assign(deps.secrets, { factors: [next, own] });
  try {
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
    expect(await sealed()).not.toBe(before);
    Object.assign(deps.secrets, { factors: [next] });
    auth.clock.advance(30_000);
    expect((await verify(auth, await challenge(auth, one), 'totp', one.code())).status).toBe(200);
  } finally {
    Object.assign(deps.secrets, { factors: [own] });
  }
});

test('S021 whatever was set up on an account by who did not own it can be taken away at once', async () => {
  const one = await withEmail(auth, await withTotp(auth, await person(auth)));
  await one.session.post('/api/auth/factors/totp?replace=true');
  await transaction(auth.deps.pool, (tx) => cancelFactorsOf(tx, one.id));

  expect(await auth.rows('select 1 from auth.factors where user_id = $1', [one.id])).toEqual([]);
  expect(await auth.rows('select 1 from auth.recovery_codes where user_id = $1', [one.id])).toEqual([]);
  expect((await login(auth, one)).body.access_token).toBeDefined();
});

test('S023 fields that nobody knows are refused', async () => {
  const one = await person(auth);
  for (const path of ['/api/auth/factors/totp/confirm', '/api/auth/factors/email/confirm'])
    expect((await one.session.post(path, { code: '123456', user_id: one.id, confirmed_at: 'now' })).status).toBe(400);
});

test('the nightly cleanup deletes what has had its time, and nothing that counts', async () => {
  const one = await withTotp(auth, await person(auth));
  const two = await person(auth);
  await challenge(auth, one);
  await two.session.post('/api/auth/factors/totp');
  await two.session.post('/api/auth/factors/email');
  const later = new Date(auth.clock().getTime() + 3_600_000);
  await auth.rows('select auth.cleanup_second_factors($1)', [later]);

  expect(await auth.rows('select 1 from auth.challenges')).toEqual([]);
  expect(await auth.rows('select 1 from auth.one_time_codes')).toEqual([]);
  expect(await auth.rows('select 1 from auth.factors where user_id = $1', [two.id])).toEqual([]);
  expect(await auth.rows('select 1 from auth.factors where user_id = $1', [one.id])).toHaveLength(2);
});
