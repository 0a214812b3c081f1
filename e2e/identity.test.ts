import { PLAN_LIMITS, requestsKey } from '@gatehouse/contracts/plans';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Answer, Client } from './client.ts';
import { openMailbox } from './demo/mailbox.ts';
import { withSecondFactor } from './house/factors.ts';
import { closeVisitors, house, query, visitor } from './house/house.ts';
import { type Company, company, hire, newPassword, type Person, platformAdmin, signedIn } from './house/people.ts';
import { until } from './house/wait.ts';

// What only the whole house can show: the way through nginx and the gateway, their caches, and services together.
const BOUND_MS = 1000;
const REFRESH = '__Host-gatehouse_refresh';
const DEVICE = '__Host-gatehouse_device';

let acme: Company;
let owner: Person;
let admin: Person;
beforeAll(async () => {
  acme = await company(['owner']);
  owner = acme.people.owner;
  admin = await platformAdmin();
}, 60_000);
afterAll(closeVisitors);

const refusedWith = (code: string) => (answer: Answer) => answer.body['code'] === code;
const dead = ({ status }: Answer) => status === 401;

describe('a session in a cookie', () => {
  const own = () => ({ origin: new URL(house().url).origin, 'x-requested-with': 'gatehouse' });

  /** The cookies of an answer by name, with their attributes. */
  function cookiesOf({ headers }: Answer): Record<string, { value: string; attributes: string[] }> {
    const lines = (headers['set-cookie'] ?? []).map((line) => line.split('; '));
    return Object.fromEntries(
      lines.map(([pair = '', ...attributes]) => {
        const at = pair.indexOf('=');
        return [pair.slice(0, at), { value: pair.slice(at + 1), attributes }];
      }),
    );
  }

  async function enter({ email, password }: Person) {
    const client = visitor();
    const answer = await client.post('/api/auth/login', { email, password, session: 'cookie' }, own());
    const cookie = cookiesOf(answer)[REFRESH]?.value ?? '';
    return { client: client.as(String(answer.body['access_token'])), anonymous: client, answer, cookie };
  }

  test('S043: its cookies are bound to this host, to TLS and to HTTP, and the token is in no body', async () => {
    const { answer, client, anonymous, cookie } = await enter(await hire(acme.id, 'viewer'));
    expect(answer.status).toBe(200);
    expect(answer.body).not.toHaveProperty('refresh_token');
    const cookies = cookiesOf(answer);
    for (const name of [REFRESH, DEVICE]) {
      expect(cookies[name]?.attributes).toEqual(
        expect.arrayContaining([
          'Path=/',
          'Secure',
          'HttpOnly',
          'SameSite=Strict',
          expect.stringMatching(/^Max-Age=\d+/),
        ]),
      );
      expect(cookies[name]?.attributes.join(';')).not.toMatch(/domain/i);
    }
    expect((await client.get('/api/auth/me')).status).toBe(200);

    const headers = { ...own(), cookie: `${REFRESH}=${cookie}` };
    const refreshed = await anonymous.post('/api/auth/refresh', {}, headers);
    expect(refreshed.status).toBe(200);
    expect(refreshed.body).not.toHaveProperty('refresh_token');
    const next = cookiesOf(refreshed)[REFRESH]?.value ?? '';
    expect(next).not.toBe(cookie);

    const left = await client.post('/api/auth/logout', {}, { ...own(), cookie: `${REFRESH}=${next}` });
    expect(left.status).toBe(204);
    expect(cookiesOf(left)[REFRESH]).toMatchObject({ value: '', attributes: expect.arrayContaining(['Max-Age=0']) });
    const after = await anonymous.post('/api/auth/refresh', {}, { ...own(), cookie: `${REFRESH}=${next}` });
    expect(after.status).toBe(401);
  });

  test('S044: it counts for pages of ours alone, and no other origin is told that it may read', async () => {
    const { anonymous, cookie } = await enter(await hire(acme.id, 'viewer'));
    const { origin } = own();
    const wrong: Record<string, string>[] = [
      { origin: 'https://evil.example', 'x-requested-with': 'gatehouse' },
      { origin: `${origin}.evil.example`, 'x-requested-with': 'gatehouse' },
      { origin: 'null', 'x-requested-with': 'gatehouse' },
      { 'sec-fetch-site': 'cross-site', 'x-requested-with': 'gatehouse' },
      { origin },
      { origin, 'x-requested-with': 'XMLHttpRequest' },
    ];
    for (const headers of wrong) {
      const answer = await anonymous.post('/api/auth/refresh', {}, { ...headers, cookie: `${REFRESH}=${cookie}` });
      expect([headers, answer.status]).toEqual([headers, 403]);
      expect(answer.headers['set-cookie']).toBeUndefined();
      if (headers['origin'] !== origin) expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    const plain = await anonymous.send({
      method: 'POST',
      path: '/api/auth/refresh',
      raw: '{}',
      headers: { ...own(), cookie: `${REFRESH}=${cookie}`, 'content-type': 'text/plain' },
    });
    expect([403, 415]).toContain(plain.status);
    // None of that has used the cookie up.
    const right = await anonymous.post('/api/auth/refresh', {}, { ...own(), cookie: `${REFRESH}=${cookie}` });
    expect(right.status).toBe(200);
  });

  test('the cookies of the platform reach no application, and an application sets none of them', async () => {
    const { client, cookie } = await enter(owner);
    const headers = { 'x-org-id': acme.id, cookie: `${REFRESH}=${cookie}; ${DEVICE}=x; own=1` };
    const answer = await client.get('/api/proxy/example/x', headers);
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain(cookie);
    expect(answer.text).not.toContain('__Host-gatehouse');
  });
});

describe('proof given once more', () => {
  /** As if the sign-in had been eleven minutes ago: the session says so, and the next token with it. */
  async function aged(person: Person): Promise<Client> {
    await query(
      `update auth.sessions set authenticated_at = now() - interval '11 minutes'
       where user_id = $1 and ended_at is null`,
      [person.id],
    );
    const { body } = await visitor().post('/api/auth/refresh', { refresh_token: person.refreshToken });
    return person.client.as(String(body['access_token']));
  }

  test('S054: an old sign-in makes no key; the password once more, and it does at once', async () => {
    const person = await hire(acme.id, 'admin');
    const client = await aged(person);
    const create = (token?: string) =>
      client.as(token ?? client.token).post(`/api/org/${acme.id}/api-keys`, { name: 'of an old sign-in' });
    expect((await client.get(`/api/org/${acme.id}/api-keys`)).status).toBe(200);

    const refused = await create();
    expect(refused.status).toBe(403);
    expect(refused.body).toMatchObject({
      code: 'auth.reauth_required',
      proof: { post: '/api/auth/reauthenticate', max_age_seconds: 600 },
    });
    expect(refused.headers['www-authenticate']).toContain('max_age="600"');

    const wrong = await client.post('/api/auth/reauthenticate', { password: `${person.password}x` });
    expect(wrong.status).toBe(401);
    const proved = await client.post('/api/auth/reauthenticate', { password: person.password });
    expect(proved.status).toBe(200);
    expect((await create(String(proved.body['access_token']))).status).toBe(201);
    // The old token says what it said before.
    expect((await create()).status).toBe(403);
  });

  test('S054: who has a second factor proves that as well', async () => {
    const { person, app } = await withSecondFactor(await hire(acme.id, 'admin'));
    const client = await aged(person);
    const path = '/api/auth/factors/recovery-codes';
    expect(refusedWith('auth.reauth_required')(await client.post(path))).toBe(true);
    const { password } = person;
    const half = await client.post('/api/auth/reauthenticate', { password });
    expect(half.status).not.toBe(200);
    const proved = await client.post('/api/auth/reauthenticate', { password, method: 'totp', code: await app.next() });
    expect(proved.status).toBe(200);
    const codes = await client.as(String(proved.body['access_token'])).post(path);
    expect(codes.body).toMatchObject({ recovery_codes: expect.any(Array) });
  }, 90_000);
});

describe('second factors, everywhere', () => {
  test('S045: a sign-in that waits for its second factor opens nothing anywhere', async () => {
    const { person } = await withSecondFactor(await hire(acme.id, 'admin'));
    const { email, password } = person;
    const waiting = await visitor().post('/api/auth/login', { email, password });
    expect(waiting.body).toMatchObject({ second_factor_required: true, challenge_token: expect.any(String) });
    expect(waiting.headers['set-cookie']).toBeUndefined();

    const client = visitor().as(String(waiting.body['challenge_token']));
    const asks: [string, string, unknown?][] = [
      ['GET', '/api/auth/me'],
      ['GET', '/api/auth/login-history'],
      ['POST', '/api/auth/factors/totp'],
      ['POST', '/api/auth/password/change', { current_password: password, new_password: newPassword() }],
      ['GET', `/api/org/${acme.id}`],
      ['POST', `/api/org/${acme.id}/api-keys`, { name: 'x' }],
      ['GET', '/api/proxy/example/x'],
      ['POST', '/api/auth/logout'],
    ];
    for (const [method, path, body] of asks) {
      const answer = await client.send({ method, path, ...(body ? { body } : {}), headers: { 'x-org-id': acme.id } });
      expect([method, path, answer.status]).toEqual([method, path, 401]);
    }
    const refresh = await visitor().post('/api/auth/refresh', { refresh_token: client.token });
    expect(refresh.status).toBe(401);
  }, 90_000);

  test('an organization that asks for one is closed to members without, within a second', async () => {
    const other = await company(['owner', 'viewer']);
    const { viewer } = other.people;
    const { person: boss } = await withSecondFactor(other.people.owner);
    const path = `/api/org/${other.id}`;
    const proxied = (client: Client) => client.get('/api/proxy/example/x', { 'x-org-id': other.id });
    for (let i = 0; i < 3; i++) {
      expect((await viewer.client.get(path)).status).toBe(200);
      expect((await proxied(viewer.client)).status).toBe(200);
    }
    const changed = await boss.client.patch(`${path}/policies`, { require_second_factor: true });
    expect([changed.status, changed.text]).toEqual([200, expect.any(String)]);
    try {
      const missing = refusedWith('auth.second_factor_required');
      const refused = await until('the policy bites', BOUND_MS, () => viewer.client.get(path), missing);
      expect(refused.status).toBe(403);
      expect(refused.body).toMatchObject({ proof: { post: '/api/auth/reauthenticate', second_factor: true } });
      await until('for applications too', BOUND_MS, () => proxied(viewer.client), missing);
      expect((await viewer.client.get('/api/auth/me')).status).toBe(200);
      expect((await boss.client.get(path)).status).toBe(200);

      // Whoever signs in now is led to set one up; whoever is in may do so at once.
      const { email, password } = viewer;
      const led = await visitor().post('/api/auth/login', { email, password });
      const enrol = expect.arrayContaining(['totp']);
      expect(led.body).toMatchObject({ second_factor_required: true, methods: [], enrol });
      const { person: equipped } = await withSecondFactor(viewer);
      expect((await equipped.client.get(path)).status).toBe(200);
      expect((await proxied(equipped.client)).status).toBe(200);
    } finally {
      // The admin of the platform has founded it and belongs to it, and signs in for other tests.
      await boss.client.patch(`${path}/policies`, { require_second_factor: false });
    }
  }, 90_000);

  test('a platform admin administers with a second factor only, and nobody else at all', async () => {
    expect((await owner.client.get('/api/admin/users')).body).toMatchObject({ code: 'access.denied' });
    const person = await hire(acme.id, 'viewer');
    await query(`update auth.users set role = 'admin' where id = $1`, [person.id]);
    const raised = await signedIn(person);
    const refused = await raised.client.get('/api/admin/users');
    expect(refused.status).toBe(403);
    expect(refused.body).toMatchObject({
      code: 'auth.second_factor_required',
      proof: { post: '/api/auth/reauthenticate', enrol: '/api/auth/factors/totp', second_factor: true },
    });
    const { person: equipped } = await withSecondFactor(raised);
    expect((await equipped.client.get('/api/admin/users?limit=1')).status).toBe(200);

    // S032: whom an admin disables is out everywhere.
    const victim = await hire(acme.id, 'viewer');
    const disabled = await equipped.client.post(`/api/admin/users/${victim.id}/disable`, { reason: 'a test' });
    expect(disabled.status).toBe(200);
    for (const path of ['/api/auth/me', `/api/org/${acme.id}`, '/api/auth/login-history'])
      await until(`${path} is closed`, BOUND_MS, () => victim.client.get(path), dead);
    const { email, password } = victim;
    expect((await visitor().post('/api/auth/login', { email, password })).status).toBe(401);
  }, 90_000);
});

describe('S032: a password that was changed', () => {
  test('ends every other session on every service, and leaves this one', async () => {
    const first = await hire(acme.id, 'viewer');
    const others = [await signedIn(first), await signedIn(first)];
    const paths = ['/api/auth/me', `/api/org/${acme.id}`, '/api/auth/login-history'];
    for (const path of paths) for (const { client } of others) expect((await client.get(path)).status).toBe(200);

    const new_password = newPassword();
    const changed = await first.client.post('/api/auth/password/change', {
      current_password: first.password,
      new_password,
    });
    expect(changed.status).toBe(204);
    for (const { client, refreshToken } of others) {
      for (const path of paths) await until(`${path} is closed`, BOUND_MS, () => client.get(path), dead);
      expect((await visitor().post('/api/auth/refresh', { refresh_token: refreshToken })).status).toBe(401);
    }
    for (const path of paths) expect((await first.client.get(path)).status).toBe(200);
    const { email } = first;
    expect((await visitor().post('/api/auth/login', { email, password: first.password })).status).toBe(401);
    expect((await visitor().post('/api/auth/login', { email, password: new_password })).status).toBe(200);
    const mail = await until('the mail about it', 20_000, () => openMailbox(house().mailboxUrl, '').of(email), sent);
    expect(mail.map(({ text }) => text).join()).not.toContain(new_password);
  });
});

const almostUsedUp = ({ headers }: Answer) => /^"org-day";r=[0-5];/.test(String(headers['ratelimit']));
const sent = (mails: readonly unknown[]) => mails.length > 0;

describe('what the house says of itself', () => {
  test('what the plan allows an organization in a day is enforced, said in headers, and shown', async () => {
    const other = await company(['owner']);
    const { client } = other.people.owner;
    const { requests_per_day: limit } = PLAN_LIMITS.free;
    const cut = await admin.client.patch(`/api/platform/organizations/${other.id}`, { plan: 'free', reason: 'a test' });
    expect(cut.status).toBe(200);
    // As if another gateway had let through all but a few.
    const redis = new Redis(house().redisUrl);
    await redis.hset(requestsKey(other.id, Date.now() / 1000), 'another', limit - 6);
    redis.disconnect();

    const proxied = () =>
      visitor({ patient: false }).as(client.token).get('/api/proxy/example/x', { 'x-org-id': other.id });
    const counted = await until('the count of all gateways is known', 2000, proxied, almostUsedUp);
    expect(counted.headers['x-ratelimit-limit']).toBe(String(limit));
    const refused = await until('the plan is used up', 2000, proxied, ({ status }) => status === 429);
    expect(refused.body['code']).toBe('rate_limited');
    expect(refused.headers['ratelimit']).toMatch(/^"org-day";r=0;t=\d+$/);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    // Whoever may not go on there goes on elsewhere.
    expect((await client.get('/api/auth/me')).status).toBe(200);
    const grown = await admin.client.patch(`/api/platform/organizations/${other.id}`, {
      plan: 'pro',
      reason: 'a test',
    });
    expect(grown.status).toBe(200);
    type Billing = { limits: { requests_per_day: number }; used: { requests_today: number } };
    const path = `/api/org/${other.id}/billing`;
    // What a gateway has counted is in Redis a tenth of a second later.
    const billing = await until(
      'the greater plan counts, and all requests are known',
      2000,
      () => client.get<Billing>(path),
      ({ status, body }) => status === 200 && body.used.requests_today >= limit,
    );
    expect(billing.body.limits.requests_per_day).toBe(PLAN_LIMITS.pro.requests_per_day);
  });

  test.each([
    '/verify-address',
    '/not-me',
    '/unlock',
    '/reset-password',
    '/accept-invitation',
    '/confirm-email-change',
    '/restore-account',
  ])('the page %s of a mail runs nothing of others, is stored nowhere and tells nobody its address', async (path) => {
    const page = await visitor().get(path);
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|\*/);
    expect(page.headers['referrer-policy']).toBe('no-referrer');
    expect(page.headers['cache-control']).toContain('no-store');
    expect(page.text).not.toMatch(/<script>|on(load|click)=|(src|href)="https?:/);
    // A scanner that follows the link, with whatever method, does nothing.
    expect((await visitor().post(path, {})).status).not.toBe(200);
  });

  test('the own sign-ins are shown through the house, and to nobody else', async () => {
    const person = await hire(acme.id, 'viewer');
    type History = { data: { action: string; address: string }[] };
    const seen = await until(
      'the sign-in is sealed',
      15_000,
      () => person.client.get<History>('/api/auth/login-history'),
      ({ body }) => body.data.some(({ action }) => action === 'auth.login_succeeded.v1'),
    );
    for (const { address } of seen.body.data) expect(address).toMatch(/^127\./);
    expect((await visitor().get('/api/auth/login-history')).status).toBe(401);
    const org = await owner.client.get<{ data: { action: string; actor: { id: string } }[] }>(
      `/api/org/${acme.id}/audit?limit=100`,
    );
    expect(org.body.data.filter(({ action }) => /^auth\.(login|device|session|logout)/.test(action))).toEqual([]);
    expect(admin.id).not.toBe(person.id);
  });
});
