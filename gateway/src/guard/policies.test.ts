import { factKey } from '@gatehouse/contracts/facts';
import { SERVICE_ROUTES } from '@gatehouse/contracts/routes';
import { freshProof, SECOND_FACTOR_PROOF } from '@gatehouse/kit/proof';
import { testClock } from '@gatehouse/testkit/clock';
import { eventually } from '@gatehouse/testkit/eventually';
import { type Answer, type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, testHouse } from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;
beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
});
afterAll(() => house.close());

const codeOf = ({ status, body }: Answer) => [status, body.code ?? ''];
const nowSeconds = () => Math.floor(Date.now() / 1000);
const TWO_FACTORS = { amr: ['pwd', 'otp', 'mfa'] as ('pwd' | 'otp' | 'mfa')[] };
const asked = [403, 'auth.second_factor_required'];

describe('a second factor that is required', () => {
  test('by the platform: nothing but signing in and proving is open without it', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org, role: 'owner', second_factor_required: true });
    const paths = [
      '/api/orgs',
      `/api/org/${org}`,
      '/api/auth/login-history',
      '/api/admin/users',
      '/api/admin/audit',
      '/admin/queues',
      '/api/invitations',
      '/api/standalone/example/x',
    ];

    const refused = await Promise.all([
      ...paths.map((path) => api.get(path, user.headers)),
      api.get('/api/proxy/example/x', { ...user.headers, 'x-org-id': org }),
      api.get(`/api/org/${org}`, { ...user.headers, 'x-org-id': org }),
    ]);
    const open = await Promise.all([
      api.get('/api/auth/me', user.headers),
      api.post('/api/auth/reauthenticate', {}, user.headers),
      api.post('/api/auth/factors/totp', {}, user.headers),
      api.post('/api/auth/logout', {}, user.headers),
      api.get('/api/permissions', user.headers),
    ]);

    expect(refused.map(codeOf)).toEqual(refused.map(() => asked));
    expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
    expect(refused[0]?.body).toMatchObject(SECOND_FACTOR_PROOF.extensions);
    expect(refused[0]?.headers.get('www-authenticate')).toBe(SECOND_FACTOR_PROOF.challenge);
  });

  test('is asked for on every declared route that is not the way to it', async () => {
    const org = house.organization({ second_factor_required: true });
    const user = house.user({ org_id: org, role: 'owner', second_factor_required: true });
    const closed = SERVICE_ROUTES.filter(({ path }) => path !== '/api/auth/*');
    for (const { path } of closed) {
      const answer = await api.delete(path.replace(':org_id', org).replace('*', 'x'), undefined, user.headers);
      expect([path, ...codeOf(answer)]).toEqual([path, ...asked]);
    }
  });

  test('by one organization: that one is closed without it, the other is not', async () => {
    const [strict, other] = [house.organization({ second_factor_required: true }), house.organization()];
    const user = house.user({ org_id: strict, role: 'owner' });
    house.owned.members.set(`${other} ${user.user_id}`, { role: 'viewer' });
    const proved = house.user({ org_id: strict, ...TWO_FACTORS });
    const admin = house.user({ platform: 'admin' });

    const answers = await Promise.all([
      api.get(`/api/org/${strict}`, user.headers),
      api.get('/api/proxy/example/x', { ...user.headers, 'x-org-id': strict }),
      api.get(`/api/org/${strict}`, admin.headers),
      api.get(`/api/org/${other}`, user.headers),
      api.get('/api/auth/me', { ...user.headers, 'x-org-id': strict }),
      api.get(`/api/org/${strict}`, proved.headers),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 200, 200, 200]);
  });

  test('tells a stranger nothing of the organization, and asks nothing of a key', async () => {
    const strict = house.organization({ second_factor_required: true, session_max_seconds: 60 });
    const stranger = house.user({ org_id: house.organization() });
    const { headers } = house.apiKey(strict);

    expect((await api.get(`/api/org/${strict}`, stranger.headers)).status).toBe(404);
    expect((await api.get('/api/proxy/example/x', headers)).status).toBe(200);
  });

  test('counts within a second of being switched on, with a warm cache, and is on record', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org });
    const ask = () => api.get(`/api/org/${org}`, user.headers);
    expect((await ask()).status).toBe(200);

    house.organization({ id: org, second_factor_required: true });
    const start = performance.now();
    await eventually(async () => (await ask()).status === 403, { timeoutMs: 3_000 });
    expect(performance.now() - start).toBeLessThan(1_000);

    const [event] = await eventually(async () => {
      const recorded = (await house.events()).filter(({ org_id }) => org_id === org);
      return recorded.length > 0 ? recorded : undefined;
    });
    expect(event).toMatchObject({
      org_id: org,
      actor: { kind: 'user', user_id: user.user_id },
      data: { status: 403, code: 'auth.second_factor_required', reason: 'second_factor' },
    });
    expect(await gateway.metrics()).toMatch(/authz_decisions_total\{decision="deny",reason="second_factor"\} [1-9]/);
  });

  test('what an older release wrote of sessions and organizations requires nothing', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org });
    const { session_id, user_id } = user;
    const fill = (key: string, value: object) => house.redis.client.set(key, JSON.stringify(value));
    await fill(factKey.session(session_id), { session_id, user_id, active: true, role: 'user' });
    await fill(factKey.org(org), { id: org, status: 'active', plan: 'free' });
    await fill(factKey.member(org, user_id), { role: 'viewer' });
    const questions = house.owned.asked.length;

    expect((await api.get(`/api/org/${org}`, user.headers)).status).toBe(200);
    expect(house.owned.asked.length).toBe(questions);
  });
});

describe('the longest session of an organization', () => {
  test('lets in whoever signed in recently enough, and says what is asked of others', async () => {
    const org = house.organization({ session_max_seconds: 3600 });
    const recent = house.user({ org_id: org, auth_time: nowSeconds() - 3590 });
    const old = house.user({ org_id: org, role: 'owner', auth_time: nowSeconds() - 3620, ...TWO_FACTORS });
    const unknown = house.user({ org_id: org, auth_time: 0 });

    const answers = await Promise.all([recent, old, unknown].map(({ headers }) => api.get(`/api/org/${org}`, headers)));

    expect(answers.map(codeOf)).toEqual([
      [200, ''],
      [403, 'org.session_too_old'],
      [403, 'org.session_too_old'],
    ]);
    expect(answers[1]?.body).toMatchObject(freshProof(3600).extensions);
    expect(answers[1]?.headers.get('www-authenticate')).toBe(freshProof(3600).challenge);
    const elsewhere = ['/api/auth/me', '/api/orgs', '/api/permissions'];
    for (const path of elsewhere) expect((await api.get(path, old.headers)).status).toBe(200);
    expect((await api.get('/api/proxy/example/x', { ...old.headers, 'x-org-id': org })).status).toBe(403);
  });

  test('ends while the session goes on', async () => {
    const clock = testClock(new Date());
    const other = await house.start({ clock });
    const org = house.organization({ session_max_seconds: 300 });
    const user = house.user({ org_id: org });
    const ask = () => client(other.url).get(`/api/org/${org}`, user.headers);

    expect((await ask()).status).toBe(200);
    clock.advance(310_000);
    expect(codeOf(await ask())).toEqual([403, 'org.session_too_old']);
    expect((await client(other.url).get('/api/auth/me', user.headers)).status).toBe(200);
  });
});
