import { PlatformRole } from '@gatehouse/contracts/identity';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { login, person, strictOrganization } from '../factors/test-factors.ts';
import { type AuthUnderTest, claimsOf, startAuth } from '../testing.ts';
import { mustHaveSecondFactor, secondFactorRequired } from './policy.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

test('the setting says of whom the platform asks a second factor; never of guests, who may do nothing', () => {
  const asked = (['nobody', 'admins', 'everyone'] as const).map((whom) =>
    PlatformRole.options.filter((role) => secondFactorRequired({ SECOND_FACTOR_REQUIRED_FOR: whom }, role)),
  );
  expect(asked).toEqual([[], ['admin'], ['admin', 'user']]);
});

test('an organization may ask its members for one, and nobody else', async () => {
  const one = await person(auth);
  const other = await person(auth);
  const config = { SECOND_FACTOR_REQUIRED_FOR: 'nobody' as const };
  const org = await strictOrganization(auth, one.id);
  const must = (id: string, role: 'user' | 'guest' = 'user') =>
    mustHaveSecondFactor(config, auth.deps.pool, { id, role });

  expect(await must(one.id)).toBe(true);
  expect(await must(other.id)).toBe(false);
  expect(await must(one.id, 'guest')).toBe(false);
  await auth.rows(`update org.organizations set status = 'deleted', deleted_at = now() where id = $1`, [org]);
  expect(await must(one.id)).toBe(false);
});

test('the gateway is told with the session whether its user needs one', async () => {
  const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
  const user = await auth.user();
  const { sid } = claimsOf((await login(auth, user)).body.access_token).payload;
  const fact = async (instance: Pick<AuthUnderTest, 'as'>) =>
    (await instance.as({ kind: 'service', sub: 'gateway' }).get(`/internal/sessions/${sid}`)).body;
  expect(await fact(auth)).toMatchObject({ active: true, second_factor_required: false });
  expect(await fact(strict)).toMatchObject({ active: true, second_factor_required: true });
});
