import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestsKey } from '@gatehouse/contracts/plans';
import { testClock } from '@gatehouse/testkit/clock';
import { eventually } from '@gatehouse/testkit/eventually';
import { startRedis } from '@gatehouse/testkit/redis';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, testHouse } from '../testing.ts';
import { createCountExchange } from './exchange.ts';
import { createMeter, remaining, spend } from './meters.ts';

let house: House;
beforeAll(async () => {
  house = await testHouse();
});
afterAll(() => house.close());

let lastAddress = 0;
const fromNewAddress = () => {
  lastAddress += 1;
  return { 'x-forwarded-for': `198.51.${100 + (lastAddress >> 8)}.${lastAddress & 255}` };
};
const statuses = async (count: number, ask: () => Promise<{ status: number }>) => {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push((await ask()).status);
  return all;
};

describe('a quota', () => {
  test('counts what is refused for its own faults too, so that nobody fills the record with them', async () => {
    const gateway = await house.start({ settings: { LIMIT_ADDRESS_MINUTE: '3' } });
    const api = client(gateway.url, { ...fromNewAddress(), origin: 'https://evil.test' });

    const answers = await statuses(6, () => api.post('/api/auth/login', {}));

    expect(answers).toEqual([403, 403, 403, 429, 429, 429]);
  });

  test('is exact within a process, and says so in every header there is', async () => {
    const clock = testClock(new Date('2030-01-01T00:00:20Z'));
    const gateway = await house.start({ clock, settings: { LIMIT_ADDRESS_MINUTE: '5' } });
    const api = client(gateway.url, fromNewAddress());

    const first = await api.get('/api/permissions');
    const rest = await Promise.all(Array.from({ length: 9 }, () => api.get('/api/permissions')));

    expect(Object.fromEntries([...first.headers].filter(([name]) => name.includes('ratelimit')))).toEqual({
      'x-ratelimit-limit': '5',
      'x-ratelimit-remaining': '4',
      'x-ratelimit-reset': '40',
      'ratelimit-policy': '"address-minute";q=5;w=60, "address-hour";q=1000000;w=3600, "address-day";q=1000000;w=86400',
      ratelimit: '"address-minute";r=4;t=40',
    });
    expect(rest.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 429, 429, 429, 429, 429]);
    const refused = rest.find(({ status }) => status === 429);
    expect(refused?.headers.get('retry-after')).toBe('40');
    expect(refused?.body).toMatchObject({ code: 'rate_limited', status: 429 });

    clock.advance(40_000);
    expect((await api.get('/api/permissions')).status).toBe(200);
  });

  test('counts a user over all his sessions and addresses, by plan, and a key apart', async () => {
    const gateway = await house.start({ settings: { LIMIT_USER_MINUTE: '3', LIMIT_KEY_MINUTE: '2' } });
    const [free, pro] = [house.organization(), house.organization({ plan: 'pro' })];
    const user = house.user({ org_id: free });
    const rich = house.user({ org_id: pro });
    const key = house.apiKey(free);
    const ask = (headers: Record<string, string>) => () =>
      client(gateway.url).get('/api/proxy/example/x', { ...headers, ...fromNewAddress() });

    expect(await statuses(5, ask({ ...user.headers, 'x-org-id': free }))).toEqual([200, 200, 200, 429, 429]);
    expect(await statuses(16, ask({ ...rich.headers, 'x-org-id': pro }))).toEqual([...Array(15).fill(200), 429]);
    expect(await statuses(3, ask(key.headers))).toEqual([200, 200, 429]);
  });

  test('is shared by the gateways and survives a restart', async () => {
    const settings = { LIMIT_ADDRESS_HOUR: '10' };
    const [one, two] = await Promise.all([house.start({ settings }), house.start({ settings })]);
    const address = fromNewAddress();
    expect(await statuses(6, () => client(one.url, address).get('/api/permissions'))).toEqual(Array(6).fill(200));
    await eventually(
      async () => (await house.redis.client.keys(`quota:address:${address['x-forwarded-for']}:hour:*`)).length > 0,
    );

    const left = await client(two.url, address).get('/api/permissions');
    expect(left.headers.get('x-ratelimit-remaining')).toBe('3');
    await one.stop();
    await two.stop();

    const three = await house.start({ settings });
    expect(await statuses(5, () => client(three.url, address).get('/api/permissions'))).toEqual([
      200, 200, 200, 429, 429,
    ]);
  });

  // Guards own in learn: without it the second meter starts at zero and takes back what the first one told Redis.
  test('S086: what a process counted is not forgotten with the meter that it made room of', async () => {
    const nowSeconds = () => 1_800_000_000;
    const exchange = createCountExchange({ redis: house.redis.client, nowSeconds });
    const meter = () => createMeter('org', '0198c0de-0000-7000-8000-000000000086');
    const [first, second] = [meter(), meter()];
    for (const [one, count] of [
      [first, 3],
      [second, 1],
    ] as const) {
      await exchange.learn(one);
      for (let i = 0; i < count; i++) spend(one, [10], nowSeconds());
      exchange.markDirty(one);
      await exchange.flush();
    }
    await exchange.close();

    expect(remaining(second, [10], 0)).toBe(6);
    const counted = await house.redis.client.hvals(requestsKey(second.subject, nowSeconds()));
    expect(counted).toEqual(['4']);
  });

  test('a flood of refusals is one event a minute', async () => {
    const gateway = await house.start({ settings: { LIMIT_ADDRESS_MINUTE: '1' } });
    const address = fromNewAddress();
    await statuses(30, () => client(gateway.url, address).get('/api/permissions'));

    const recorded = await eventually(async () => {
      const events = (await house.events()).filter((event) => event.address === address['x-forwarded-for']);
      return events.length > 0 ? events : undefined;
    });
    expect(recorded.length).toBeLessThanOrEqual(2);
    expect(await gateway.metrics()).toMatch(/gateway_rate_limited_total\{policy="address"\} (29|28)/);
  });
});

describe('the requests of a day that a plan allows', () => {
  const seconds = () => Math.floor(Date.now() / 1000);
  /** What another gateway has counted today. */
  const counted = (org: string, count: number) =>
    house.redis.client.hset(requestsKey(org, seconds()), 'elsewhere', String(count));
  const proxied = (url: string, headers: Record<string, string>) => () =>
    client(url).get('/api/proxy/example/x', { ...headers, ...fromNewAddress() });

  test('are counted over all users and keys of the organization, by the key that org reads', async () => {
    const gateway = await house.start();
    const org = house.organization();
    const [one, two] = [house.user({ org_id: org }), house.user({ org_id: org, role: 'owner' })];
    const key = house.apiKey(org);
    const other = house.organization();
    await counted(org, 9_996);
    const asks = [
      proxied(gateway.url, { ...one.headers, 'x-org-id': org }),
      proxied(gateway.url, { ...two.headers, 'x-org-id': org.toUpperCase() }),
      proxied(gateway.url, key.headers),
      () => client(gateway.url).get('/api/standalone/example/x', key.headers),
    ];

    for (const ask of asks) expect((await ask()).status).toBe(200);
    const answers = await Promise.all(asks.map((ask) => ask()));

    expect(answers.map(({ status }) => status)).toEqual([429, 429, 429, 429]);
    const [refused] = answers;
    expect(refused?.body).toMatchObject({
      code: 'rate_limited',
      detail: expect.stringContaining('10000 requests a day'),
    });
    const reset = Number(refused?.headers.get('retry-after'));
    expect(86_400 - (seconds() % 86_400) - reset).toBeLessThanOrEqual(1);
    expect(refused?.headers.get('ratelimit-policy')).toBe('"org-day";q=10000;w=86400');
    expect(refused?.headers.get('ratelimit')).toBe(`"org-day";r=0;t=${reset}`);
    expect(refused?.headers.get('x-ratelimit-limit')).toBe('10000');
    expect(await gateway.metrics()).toMatch(/gateway_rate_limited_total\{policy="org"\} 4/);
    // Whoever acts for another organization, or for none, has nothing to do with it.
    house.owned.members.set(`${other} ${one.user_id}`, { role: 'viewer' });
    expect((await proxied(gateway.url, { ...one.headers, 'x-org-id': other })()).status).toBe(200);
    expect((await client(gateway.url).get('/api/auth/me', one.headers)).status).toBe(200);
    await eventually(async () => {
      const counts = await house.redis.client.hvals(requestsKey(org, seconds()));
      return counts.reduce((sum, count) => sum + Number(count), 0) === 10_000;
    });
    expect(await house.redis.client.ttl(requestsKey(org, seconds()))).toBeGreaterThan(0);
  });

  test('follow a change of plan within a second, up and down', async () => {
    const gateway = await house.start();
    const org = house.organization();
    const key = house.apiKey(org);
    await counted(org, 10_000);
    const ask = proxied(gateway.url, key.headers);
    const until = async (status: number) => {
      const start = performance.now();
      await eventually(async () => (await ask()).status === status, { timeoutMs: 3_000 });
      return performance.now() - start;
    };
    expect((await ask()).status).toBe(429);

    for (const [plan, status] of [
      ['pro', 200],
      ['free', 429],
      ['enterprise', 200],
    ] as const) {
      house.organization({ id: org, plan });
      expect(await until(status)).toBeLessThan(1_000);
    }
  });

  test('used up, leave the organization to those who run it: they can see why, and revoke the key', async () => {
    const gateway = await house.start();
    const org = house.organization();
    const people = {
      owner: house.user({ org_id: org, role: 'owner' }),
      admin: house.user({ org_id: org, role: 'admin' }),
      viewer: house.user({ org_id: org, role: 'viewer' }),
      support: house.user({ platform: 'admin' }),
    };
    await counted(org, 10_000);
    const status = async (who: keyof typeof people, path: string) =>
      (await client(gateway.url).get(path, { ...people[who].headers, 'x-org-id': org })).status;

    const keys = `/api/org/${org}/api-keys`;
    expect(await Promise.all([status('owner', keys), status('admin', keys), status('support', keys)])).toEqual([
      200, 200, 200,
    ]);
    expect(await Promise.all([status('viewer', keys), status('owner', '/api/proxy/example/x')])).toEqual([429, 429]);
    // The platform's own people use up nothing of what an organization has.
    await counted(org, 0);
    const before = await client(gateway.url).get('/api/proxy/example/x', {
      ...people.support.headers,
      'x-org-id': org,
    });
    expect(before.headers.get('ratelimit-policy')).not.toContain('org-day');
  });

  test('start anew with the day', async () => {
    const clock = testClock(new Date('2030-05-01T23:59:58Z'));
    const gateway = await house.start({ clock });
    const org = house.organization();
    const key = house.apiKey(org);
    await house.redis.client.hset(`quota:org:${org}:2030-05-01`, 'elsewhere', '10000');

    expect((await proxied(gateway.url, key.headers)()).headers.get('retry-after')).toBe('2');
    clock.advance(2_000);
    expect((await proxied(gateway.url, key.headers)()).status).toBe(200);
  });
});

describe('F24 a Redis that hangs', () => {
  test('slows requests by less than a second and lifts no limit; nothing is counted twice when it is back', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'gatehouse-quota-'));
    const redis = await startRedis({ dir, appendonly: false });
    const gateway = await house.start({ redisUrl: redis.url, settings: { LIMIT_ADDRESS_DAY: '20' } });
    const address = fromNewAddress();
    const other = fromNewAddress();
    expect(await statuses(4, () => client(gateway.url, address).get('/api/permissions'))).toEqual([200, 200, 200, 200]);

    process.kill(redis.pid, 'SIGSTOP');
    const durations: number[] = [];
    const during: number[] = [];
    for (let i = 0; i < 16; i++) {
      const start = performance.now();
      during.push((await client(gateway.url, i % 2 ? address : other).get('/api/permissions')).status);
      durations.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    // Alone, a gateway lets half of the limit through.
    const alone = await statuses(12, () => client(gateway.url, other).get('/api/permissions'));
    process.kill(redis.pid, 'SIGCONT');
    expect(during.filter((status) => status === 200).length).toBeGreaterThanOrEqual(14);
    expect(Math.max(...durations)).toBeLessThan(1_000);
    expect(alone).toContain(429);
    await eventually(async () => {
      const left = Number(
        (await client(gateway.url, address).get('/api/permissions')).headers.get('x-ratelimit-remaining'),
      );
      return left >= 0 && left <= 9;
    });
    await gateway.stop();
    await redis.stop();
    rmSync(dir, { recursive: true, force: true });
  });
});
