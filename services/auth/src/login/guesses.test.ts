import { hmac } from '@gatehouse/kit/crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const login = (email: string) => auth.anonymous.post('/api/auth/login', { email, password: PASSWORD });

describe('guesses', () => {
  const wrong = (email: string, address = '192.0.2.7', instance: Pick<AuthUnderTest, 'as'> = auth) =>
    instance
      .as({ kind: 'anonymous' }, { 'x-forwarded-for': address })
      .post('/api/auth/login', { email, password: 'a wrong password indeed' });

  test('S010 an account gives ten in a window from wherever they come, then 429 also for the right password', async () => {
    const user = await auth.user();
    for (let n = 0; n < 10; n++) expect((await wrong(user.email, `198.51.${n}.1`)).status).toBe(401);

    const refused = await login(user.email);

    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(800);
    expect(refused.headers.get('x-ratelimit-limit')).toBe('10');
    auth.clock.advance(901_000);
    expect((await login(user.email)).status).toBe(200);
  });

  test('S001 an unknown address is counted like a known one', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 11; n++) statuses.push((await wrong('unknown-to-all@users.test')).status);
    expect(statuses).toEqual([...Array(10).fill(401), 429]);
  });

  test('a success forgets the guesses at the account', async () => {
    const user = await auth.user();
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 9; n++) await wrong(user.email);
      expect((await login(user.email)).status).toBe(200);
    }
  });

  // Tried with a budget that reads, decides and then writes: all fifty were hashed.
  test('S011 fifty at one instant over two instances: ten are judged, forty refused, the counter exact', async () => {
    const user = await auth.user();
    const other = await auth.another();

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => wrong(user.email, `203.0.${n}.9`, n % 2 ? other : auth)),
    );

    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array(10).fill(401), ...Array(40).fill(429)]);
    const failed = (await auth.events('auth.login_failed.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(failed).toHaveLength(10);
    const bucket = hmac(auth.deps.secrets.budgets, `login_account\n${user.email}`);
    expect(await auth.rows('select used from auth.guess_budgets where bucket = $1', [bucket])).toEqual([{ used: 10 }]);
  });

  test('S097 S099 a network is one bucket in every spelling, and a success in it earns no new guesses', async () => {
    const one = await auth.another({ LOGIN_NETWORK_BUDGET: 4 });
    const user = await auth.user();
    const from = (address: string) => one.as({ kind: 'anonymous' }, { 'x-forwarded-for': address });
    const spellings = [
      '2001:DB8:0:1::1',
      '2001:db8:0:1:ffff::2',
      '2001:0db8:0000:0001:0:0:0:3',
      '2001:db8:0:1::4%eth0',
    ];
    for (const [n, address] of spellings.slice(0, 3).entries())
      expect((await wrong(`n${n}@users.test`, address, one)).status).toBe(401);
    const good = await from(spellings[3] as string).post('/api/auth/login', { email: user.email, password: PASSWORD });
    expect(good.status).toBe(200);

    expect((await wrong('n4@users.test', '2001:db8:0:1::5', one)).status).toBe(401);
    expect((await wrong('n5@users.test', '2001:db8:0:1::6', one)).status).toBe(429);
    expect((await wrong('n6@users.test', '2001:db8:0:2::6', one)).status).toBe(401);
  });

  test('F23 a flushed Redis gives no new guesses', async () => {
    const user = await auth.user();
    for (let n = 0; n < 10; n++) await wrong(user.email);
    await auth.redis.flush();
    expect((await wrong(user.email)).status).toBe(429);
  });
});

test('S009 beyond the queue of hashes a sign-in is refused with Retry-After and costs no guess', async () => {
  const tight = await auth.another({ HASH_CONCURRENCY: 1, HASH_QUEUE_MAX: 1, BCRYPT_COST: 10 });
  const slow = await auth.user({ hash: await tight.deps.hasher.hash(PASSWORD) });

  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      tight.anonymous.post('/api/auth/login', { email: slow.email, password: 'wrong password' }),
    ),
  );

  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(2);
  const refused = answers.filter(({ status }) => status === 503);
  expect(refused.length).toBe(8 - statuses.filter((status) => status === 401).length);
  for (const { headers, body } of refused) {
    expect(body.code).toBe('overloaded');
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  }
  const after: number[] = [];
  for (let n = 0; n < 5; n++)
    after.push((await tight.anonymous.post('/api/auth/login', { email: slow.email, password: 'no' })).status);
  expect(after).not.toContain(429);
});
