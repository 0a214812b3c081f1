import { hmac } from '@gatehouse/kit/crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

type Door = Pick<AuthUnderTest, 'as'>;
const tried = (email: string, password: string, address = '192.0.2.7', instance: Door = auth) =>
  instance.as({ kind: 'anonymous' }, { 'x-forwarded-for': address }).post('/api/auth/login', { email, password });
const wrong = (email: string, address?: string, instance?: Door) =>
  tried(email, 'a wrong password indeed', address, instance);
const right = (email: string, address?: string, instance?: Door) => tried(email, PASSWORD, address, instance);

describe('guesses', () => {
  test('S010 an account gives ten from wherever they come, then each waits twice as long, also the right password', async () => {
    const user = await auth.user();
    for (let n = 0; n < 10; n++) expect((await wrong(user.email, `198.51.${n}.1`)).status).toBe(401);

    for (const seconds of [2, 4, 8, 16, 32, 60, 60]) {
      const refused = await right(user.email, '203.0.113.1');
      expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
      expect(refused.headers.get('retry-after')).toBe(String(seconds));
      expect(refused.headers.get('x-ratelimit-limit')).toBe('10');
      auth.clock.advance(seconds * 1000 - 1);
      expect((await right(user.email, '203.0.113.1')).status).toBe(429);
      auth.clock.advance(1);
      expect((await wrong(user.email, `198.52.${seconds}.${Math.ceil(Math.random() * 200)}`)).status).toBe(401);
    }
    auth.clock.advance(60_000);
    expect((await right(user.email, '203.0.113.1')).status).toBe(200);
  });

  test('S097 five of one network at one account, whatever the source says of itself, then a delay of its own', async () => {
    const user = await auth.user();
    for (let n = 0; n < 5; n++) expect((await wrong(user.email, `192.0.2.${n}`)).status).toBe(401);

    const refused = await right(user.email, '192.0.2.99');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    expect(refused.headers.get('x-ratelimit-limit')).toBe('5');
    // Elsewhere the account may be tried, and the refused tries have cost it nothing.
    expect((await right(user.email, '192.0.3.1')).status).toBe(200);
    auth.clock.advance(30_000);
    expect((await wrong(user.email, '192.0.2.5')).status).toBe(401);
    expect((await wrong(user.email, '192.0.2.5')).headers.get('retry-after')).toBe('60');
  });

  test('the window ends on its last millisecond, and what waits waits on', async () => {
    const user = await auth.user();
    for (let n = 0; n < 4; n++) await wrong(user.email);
    auth.clock.advance(899_999);
    expect((await wrong(user.email)).status).toBe(401);
    auth.clock.advance(1);
    expect((await wrong(user.email)).status).toBe(429);
    auth.clock.advance(29_999);
    for (let n = 0; n < 5; n++) expect((await wrong(user.email)).status).toBe(401);
    expect((await wrong(user.email)).status).toBe(429);
  });

  test('S001 an unknown address is counted like a known one', async () => {
    const known = await auth.user();
    const seen: unknown[] = [];
    for (const email of [known.email, 'unknown-to-all@users.test']) {
      const answers: unknown[] = [];
      for (let n = 0; n < 14; n++) {
        const { status, headers } = await wrong(email, n < 6 ? '192.0.2.7' : `198.53.${n}.1`);
        answers.push([status, headers.get('retry-after'), headers.get('ratelimit-policy')]);
      }
      seen.push(answers);
    }
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]).toContainEqual([429, '2', '"attempts";q=10;w=900']);
  });

  test('a success forgets the guesses at the account', async () => {
    const user = await auth.user();
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 4; n++) await wrong(user.email);
      expect((await right(user.email)).status).toBe(200);
    }
  });

  // Tried with a lane that reads, decides and then writes: all fifty were hashed.
  test('S011 fifty at one instant over two instances: ten are judged, forty refused, the counter exact', async () => {
    const user = await auth.user();
    const other = await auth.another();

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => wrong(user.email, `203.0.${n}.9`, n % 2 ? other : auth)),
    );

    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array(10).fill(401), ...Array(40).fill(429)]);
    const failed = (await auth.events('auth.login_failed.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(failed.filter(({ data }) => data['reason'] === 'wrong_password')).toHaveLength(10);
    expect(failed.filter(({ data }) => data['reason'] === 'throttled')).toHaveLength(40);
    const bucket = hmac(auth.deps.secrets.budgets, `login_account\n${user.email}`);
    expect(await auth.rows('select used, failures from auth.login_lanes where bucket = $1', [bucket])).toEqual([
      { used: 10, failures: 10 },
    ]);
  });

  test('S011 fifty at one instant from one network: five are judged', async () => {
    const user = await auth.user();
    const other = await auth.another();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => wrong(user.email, `192.0.2.${n}`, n % 2 ? other : auth)),
    );
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(45);
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
    expect(await one.metrics()).toMatch(/auth_lockouts_total\{scope="ip"\} [1-9]/);
    expect(await one.metrics()).toContain('auth_rate_limited_total{limiter="login_network"} 1');
  });

  test('S099 five at one account from one /64, or from one address in both families, are one lane', async () => {
    const user = await auth.user();
    const mapped = ['198.51.100.7', '::ffff:198.51.100.8', '::FFFF:C633:6409', '0:0:0:0:0:ffff:198.51.100.10'];
    for (const address of [...mapped, '198.51.100.11']) expect((await wrong(user.email, address)).status).toBe(401);
    expect((await wrong(user.email, '::ffff:198.51.100.12')).status).toBe(429);
  });

  test('F23 a flushed Redis gives no new guesses', async () => {
    const user = await auth.user();
    for (let n = 0; n < 5; n++) await wrong(user.email);
    await auth.redis.flush();
    expect((await wrong(user.email)).status).toBe(429);
  });
});

test('S009 beyond the queue of hashes a sign-in is refused with Retry-After and costs no guess', async () => {
  const tight = await auth.another({
    HASH_CONCURRENCY: 1,
    HASH_QUEUE_MAX: 1,
    BCRYPT_COST: 10,
    LOGIN_ACCOUNT_NETWORK_BUDGET: 10,
    LOGIN_LOCK_FAILURES: 9,
  });
  const slow = await auth.user({ hash: await tight.deps.hasher.hash(PASSWORD) });

  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      tight.anonymous.post('/api/auth/login', { email: slow.email, password: 'wrong password' }),
    ),
  );

  const statuses = answers.map(({ status }) => status);
  const judged = statuses.filter((status) => status === 401).length;
  expect(judged).toBeGreaterThanOrEqual(2);
  const refused = answers.filter(({ status }) => status === 503);
  expect(refused.length).toBe(8 - judged);
  for (const { headers, body } of refused) {
    expect(body.code).toBe('overloaded');
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  }
  const bucket = hmac(auth.deps.secrets.budgets, `login_account\n${slow.email}`);
  expect(await auth.rows('select used, failures from auth.login_lanes where bucket = $1', [bucket])).toEqual([
    { used: judged, failures: judged },
  ]);
});
