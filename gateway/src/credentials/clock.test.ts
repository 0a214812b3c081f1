import { CLOCK_LEEWAY_SECONDS } from '@gatehouse/kit/clock-check';
import { testClock } from '@gatehouse/testkit/clock';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { accessJwk, type House, signToken, testHouse } from '../testing.ts';
import { createKeySet } from './jwks.ts';

const HOUR_MS = 3_600_000;

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
});
afterAll(() => house.close());

test('F36 an access token counts as long beyond its time as two clocks may differ, and never a minute', async () => {
  const user = house.user();
  const now = () => Math.floor(Date.now() / 1000);
  const status = async (claims: Record<string, number>) =>
    (await client(gateway.url).get('/api/auth/me', { authorization: `Bearer ${signToken(user, { claims })}` })).status;
  const expired = (seconds: number) => status({ iat: now() - 900, exp: now() - seconds });
  const early = (seconds: number) => status({ iat: now() + seconds, exp: now() + seconds + 900 });

  expect([await expired(CLOCK_LEEWAY_SECONDS - 2), await expired(CLOCK_LEEWAY_SECONDS + 1)]).toEqual([200, 401]);
  expect([await early(CLOCK_LEEWAY_SECONDS - 2), await early(CLOCK_LEEWAY_SECONDS + 3)]).toEqual([200, 401]);
  expect([await expired(60), await early(61)]).toEqual([401, 401]);
});

test('F36 an access token that was seen before ends at its time too, whichever way the clock stepped meanwhile', async () => {
  const user = house.user();
  const clock = testClock();
  const skewed = await house.start({ clock });
  const start = Math.floor(clock.now().getTime() / 1000);
  const token = signToken(user, { claims: { iat: start, exp: start + 900 } });
  const me = async () => (await client(skewed.url).get('/api/auth/me', { authorization: `Bearer ${token}` })).status;
  expect(await me()).toBe(200);
  clock.advance(10 * 60_000);
  expect(await me()).toBe(200);
  clock.advance(-10 * 60_000);
  expect(await me()).toBe(200);
  clock.advance((900 + CLOCK_LEEWAY_SECONDS + 1) * 1000);
  expect(await me()).toBe(401);
});

test.each([
  ['back by an hour', -HOUR_MS],
  ['forward by ten minutes', 600_000],
])('F36, F41 a new signing key is found although the clock stepped %s', async (_, ms) => {
  const clock = testClock();
  let published = [accessJwk];
  let fetched = 0;
  const keys = createKeySet({
    clock,
    fetch: async () => {
      fetched += 1;
      return { keys: published };
    },
  });
  await keys.find(accessJwk.kid);
  clock.advance(ms);
  published = [accessJwk, { ...accessJwk, kid: 'the-next' }];
  expect(keys.ageSeconds()).toBeGreaterThanOrEqual(0);
  // A known one starts a look in the background, an unknown one waits for it.
  expect(keys.find(accessJwk.kid)).toBeDefined();
  await new Promise((resolve) => setImmediate(resolve));
  await keys.find('the-next');
  expect(keys.find('the-next')).toBeDefined();
  expect(fetched).toBe(2);
});
