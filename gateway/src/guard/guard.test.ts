import { randomUUID } from 'node:crypto';
import { factKey } from '@gatehouse/contracts/facts';
import { permissionsOf } from '@gatehouse/contracts/permissions';
import { eventually } from '@gatehouse/testkit/eventually';
import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, identityIn, newKey, testHouse } from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
});
afterAll(() => house.close());

/** Asks until the answer has the status; returns how many milliseconds that took. */
async function until(status: number, ask: () => Promise<{ status: number }>): Promise<number> {
  const start = performance.now();
  await eventually(async () => (await ask()).status === status, { timeoutMs: 3_000 });
  return performance.now() - start;
}

describe('the organization guard', () => {
  test('gives the role and the permissions of the member, by path and by header', async () => {
    const org = house.organization({ plan: 'pro' });
    const user = house.user({ org_id: org, role: 'analyst' });

    const byPath = await api.get(`/api/org/${org}/members`, user.headers);
    const atOrg = identityIn(house.org.requests.at(-1), 'org');
    const byHeader = await api.get('/api/proxy/example/x?y=1', { ...user.headers, 'x-org-id': org.toUpperCase() });

    expect([byPath.status, byHeader.status]).toEqual([200, 200]);
    expect(atOrg.org).toEqual({
      id: org,
      role: 'analyst',
      plan: 'pro',
      permissions: [...permissionsOf('analyst')],
    });
    expect(house.upstream.requests.at(-1)?.url).toBe('/x?y=1');
    expect(identityIn(house.upstream.requests.at(-1), 'example').org?.id).toBe(org);
  });

  test('S072 lets nobody in who has no part in it, and records who tried', async () => {
    const org = house.organization();
    const other = house.organization();
    const stranger = house.user({ org_id: other, role: 'owner' });
    const before = (await house.events()).length;

    const answers = await Promise.all([
      api.get(`/api/org/${org}/members`, stranger.headers),
      api.get(`/api/org/${org}/audit`, stranger.headers),
      api.get('/api/proxy/example/x', { ...stranger.headers, 'x-org-id': org }),
      api.get(`/api/org/${randomUUID()}/members`, stranger.headers),
      api.get('/api/org/not-a-uuid/members', stranger.headers),
      api.get(`/api/org/${org}/members`),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404, 401]);
    const events = await eventually(async () => {
      const all = (await house.events()).slice(before);
      return all.length >= 5 ? all : undefined;
    });
    expect(events).toHaveLength(5);
    expect(events[0]).toMatchObject({
      actor: { kind: 'user', user_id: stranger.user_id, session_id: stranger.session_id },
      data: { method: 'GET', status: 404, code: 'not_found', reason: 'org_unknown' },
      address: '127.0.0.1',
    });
  });

  test('refuses two organizations at once, a header that is no id, and a missing one where one is needed', async () => {
    const [one, two] = [house.organization(), house.organization()];
    const user = house.user({ org_id: one });
    house.owned.members.set(`${two} ${user.user_id}`, { role: 'owner' });

    const answers = await Promise.all([
      api.get(`/api/org/${one}/members`, { ...user.headers, 'x-org-id': two }),
      api.get('/api/proxy/example/x', { ...user.headers, 'x-org-id': 'nonsense' }),
      api.get('/api/proxy/example/x', user.headers),
      api.get(`/api/org/${one}/members`, { ...user.headers, 'x-org-id': one }),
      api.get('/api/standalone/example/x', user.headers),
      api.get('/api/proxy/nobody/x', { ...user.headers, 'x-org-id': one }),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 200, 200, 404]);
  });

  test('lets a platform admin act anywhere, a suspended organization included', async () => {
    const org = house.organization({ status: 'suspended' });
    const admin = house.user({ platform: 'admin' });
    const member = house.user({ org_id: org, role: 'owner' });

    const [asAdmin, asMember] = await Promise.all([
      api.get(`/api/org/${org}`, admin.headers),
      api.get(`/api/org/${org}`, member.headers),
    ]);

    expect([asAdmin.status, asMember.status]).toEqual([200, 403]);
    expect(identityIn(house.org.requests.at(-1), 'org').org).toMatchObject({ id: org, role: 'platform_admin' });
  });

  test('a platform admin is the owner where it owns, and more than its role elsewhere', async () => {
    const [owned, joined] = [house.organization(), house.organization()];
    const owner = house.user({ platform: 'admin', org_id: owned, role: 'owner' });
    const viewer = house.user({ platform: 'admin', org_id: joined, role: 'viewer' });

    await api.get(`/api/org/${owned}`, owner.headers);
    expect(identityIn(house.org.requests.at(-1), 'org').org).toMatchObject({ role: 'owner' });
    await api.get(`/api/org/${joined}`, viewer.headers);
    expect(identityIn(house.org.requests.at(-1), 'org').org).toMatchObject({ role: 'platform_admin' });
  });
});

describe('what changes', () => {
  test('S031 a session that ends is dead within a second, on every gateway', async () => {
    const second = await house.start();
    const user = house.user();
    const ask = (url: string) => () => client(url).get('/api/auth/me', user.headers);
    await Promise.all([ask(gateway.url)(), ask(second.url)()]);

    house.owned.sessions.set(user.session_id, {
      ...user,
      active: false,
      role: 'user',
      second_factor_required: false,
    });
    const delays = await Promise.all([until(401, ask(gateway.url)), until(401, ask(second.url))]);

    for (const delay of delays) expect(delay).toBeLessThan(1_000);
    expect((await ask(gateway.url)()).body).toMatchObject({ code: 'auth.session_ended' });
  });

  test('S031 is read from Redis too, and a tombstone there sends the question to the owner', async () => {
    const user = house.user();
    const key = factKey.session(user.session_id);
    await house.redis.client.set(key, JSON.stringify({ ...user, active: true, role: 'user' }));
    house.owned.sessions.delete(user.session_id);
    expect((await api.get('/api/auth/me', user.headers)).status).toBe(200);

    await house.redis.client.set(key, '', 'EX', 15);
    expect(await until(401, () => api.get('/api/auth/me', user.headers))).toBeLessThan(1_000);
  });

  test('S033 a changed role, a removed member and a suspended organization count within a second', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org, role: 'owner' });
    const ask = () => api.patch(`/api/org/${org}`, { name: 'x' }, user.headers);
    await ask();
    expect(identityIn(house.org.requests.at(-1), 'org').org?.role).toBe('owner');

    house.owned.members.set(`${org} ${user.user_id}`, { role: 'viewer' });
    await eventually(
      async () => {
        await ask();
        return identityIn(house.org.requests.at(-1), 'org').org?.role === 'viewer';
      },
      { timeoutMs: 1_000 },
    );
    house.organization({ id: org, status: 'suspended' });
    expect(await until(403, ask)).toBeLessThan(1_000);
    house.organization({ id: org });
    house.owned.members.delete(`${org} ${user.user_id}`);
    expect(await until(404, ask)).toBeLessThan(1_000);
  });

  test('F26 values of another form in Redis are as good as none', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org });
    await house.redis.client.set(factKey.session(user.session_id), '{"version":9}');
    await house.redis.client.hset(factKey.org(org), 'a', 'b');
    await house.redis.client.set(factKey.member(org, user.user_id), 'not json');

    expect((await api.get(`/api/org/${org}`, user.headers)).status).toBe(200);
  });

  test('when neither Redis nor the owner answers, nobody gets in', async () => {
    const user = house.user();
    house.owned.broken = true;
    const answer = await api.get('/api/auth/me', user.headers);
    house.owned.broken = false;

    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect((await api.get('/api/auth/me', user.headers)).status).toBe(200);
  });

  test('a hundred requests at once ask the owner once', async () => {
    const user = house.user();
    const answers = await Promise.all(Array.from({ length: 100 }, () => api.get('/api/auth/me', user.headers)));

    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(house.owned.asked.filter((path) => path.includes(user.session_id)).length).toBeLessThanOrEqual(2);
  });
});

describe('an API key', () => {
  test('S087 reaches upstreams and nothing else, ever', async () => {
    const { headers } = house.apiKey(house.organization());
    const paths = [
      '/api/auth/me',
      '/api/orgs',
      `/api/org/${randomUUID()}/members`,
      '/api/admin/audit',
      '/admin/queues',
      '/api/platform/organizations',
      '/api/permissions',
    ];

    const refused = await Promise.all([
      ...paths.map((path) => api.get(path, headers)),
      api.post('/api/auth/login', {}, headers),
      api.post('/api/auth/refresh', {}, headers),
      api.post('/api/bootstrap', {}, headers),
    ]);
    const served = await Promise.all(
      ['/api/proxy/example/a', '/api/standalone/example/a'].map((path) => api.get(path, headers)),
    );

    expect([...new Set(refused.map(({ status }) => status))]).toEqual([403]);
    expect(served.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('S087 is nobody’s password: what it opens is an identity of the key in its organization', async () => {
    const org = house.organization({ plan: 'enterprise' });
    const { key, fact } = house.apiKey(org);

    await api.get('/api/proxy/example/a', { authorization: `Bearer ${key}` });

    expect(identityIn(house.upstream.requests.at(-1), 'example')).toMatchObject({
      kind: 'api_key',
      sub: fact.key_id,
      key_id: fact.key_id,
      org: { id: org, role: 'api_key', plan: 'enterprise', permissions: [] },
    });
    expect((await api.get('/api/proxy/example/a', { 'x-api-key': key, 'x-org-id': house.organization() })).status).toBe(
      400,
    );
  });

  test('is bound by its scopes, rules, addresses and expiry', async () => {
    const org = house.organization();
    const ask = (fact: Parameters<House['apiKey']>[1], path = '/api/proxy/example/a') =>
      api.get(path, house.apiKey(org, fact).headers).then(({ status }) => status);

    expect(await ask({ scopes: ['standalone'] })).toBe(403);
    expect(await ask({ scopes: [] })).toBe(403);
    expect(await ask({ rules: [{ method: 'POST', path: '/api/proxy/example/a' }] })).toBe(403);
    expect(await ask({ rules: [{ method: 'GET', path: '/api/proxy/example/b' }] })).toBe(403);
    expect(await ask({ rules: [{ method: 'GET', path: '/api/proxy/example/a' }] })).toBe(200);
    expect(await ask({ rules: [{ method: '*', path: '/api/proxy/example/*' }] }, '/api/proxy/example/a/b')).toBe(200);
    expect(await ask({ addresses: ['203.0.113.0/24'] })).toBe(403);
    expect(await ask({ addresses: ['203.0.113.0/24', '127.0.0.0/8'] })).toBe(200);
    expect(await ask({ expires_at: new Date(Date.now() - 1000).toISOString() })).toBe(401);
    expect(await ask({ active: false })).toBe(401);
  });

  test('S090 that is revoked, or whose organization is suspended, is dead within a second', async () => {
    const second = await house.start();
    const org = house.organization();
    const [one, two] = [house.apiKey(org), house.apiKey(org)];
    const ask = (url: string, headers: Record<string, string>) => () =>
      client(url).get('/api/proxy/example/a', headers);
    await Promise.all([gateway.url, second.url].flatMap((url) => [ask(url, one.headers)(), ask(url, two.headers)()]));

    house.owned.keys.set(one.hash, { ...one.fact, active: false });
    const revoked = await Promise.all([gateway.url, second.url].map((url) => until(401, ask(url, one.headers))));
    house.organization({ id: org, status: 'suspended' });
    const suspended = await Promise.all([gateway.url, second.url].map((url) => until(401, ask(url, two.headers))));

    for (const delay of [...revoked, ...suspended]) expect(delay).toBeLessThan(1_000);
  });

  test('S091 that is malformed is refused without a question; a guessed one costs quota', async () => {
    const limited = await house.start({ settings: { LIMIT_ADDRESS_MINUTE: '40' } });
    const guesser = client(limited.url, { 'x-forwarded-for': '198.51.100.91' });
    const asked = house.owned.asked.length;
    const good = newKey();
    const odd = [
      `${good}x`,
      good.slice(0, -1),
      good.replace('ezak_', 'ezzk_'),
      good.replace('_dev_', '_xxx_'),
      `${good.slice(0, -1)}${good.endsWith('0') ? '1' : '0'}`,
      'ezak_',
    ];
    for (const key of odd) expect((await guesser.get('/api/proxy/example/a', { 'x-api-key': key })).status).toBe(401);
    expect(house.owned.asked.length).toBe(asked);

    const statuses = [];
    for (let i = 0; i < 50; i++)
      statuses.push((await guesser.get('/api/proxy/example/a', { 'x-api-key': newKey() })).status);

    expect(statuses.slice(0, 34)).toEqual(Array(34).fill(401));
    expect(statuses.slice(34)).toEqual(Array(16).fill(429));
  });
});
