import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Answer, Call } from './client.ts';
import { closeVisitors, visitor } from './house/house.ts';
import { type Company, company, newKey } from './house/people.ts';

let acme: Company;
let key: string;
beforeAll(async () => {
  acme = await company(['owner', 'viewer']);
  key = (await newKey(acme.people.owner, acme.id)).key;
}, 60_000);
afterAll(closeVisitors);

type Who = 'nobody' | 'owner' | 'viewer' | 'key';
type Case = [maker: string, who: Who, call: Call, status: number, code: string];

const get = (path: string, headers: Call['headers'] = {}): Call => ({ method: 'GET', path, headers });
const UNKNOWN = '0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f607';

/** Errors of every maker on the way; ORG stands for the company. */
const REFUSED: Case[] = [
  ['nginx', 'nobody', get('/nothing'), 404, 'not_found'],
  ['nginx', 'nobody', get('/api/../x'), 400, 'request.malformed'],
  ['nginx', 'nobody', { method: 'PROPFIND', path: '/api/orgs' }, 405, 'method_not_allowed'],
  ['nginx', 'nobody', get('/api/orgs', { host: 'elsewhere.test' }), 421, 'request.misdirected'],
  ['nginx', 'nobody', { method: 'POST', path: '/api/orgs', raw: Buffer.alloc(1_100_000) }, 413, 'request.too_large'],
  ['nginx', 'nobody', get('/api/orgs', { 'x-long': 'x'.repeat(40_000) }), 431, 'request.header_too_large'],
  ['nginx', 'nobody', get(`/api/${'x'.repeat(9000)}`), 414, 'request.uri_too_long'],
  ['gateway', 'nobody', get('/api/orgs'), 401, 'auth.required'],
  ['gateway, before anything is counted', 'owner', get('/api/no/such/thing'), 404, 'not_found'],
  ['gateway', 'owner', get('/api/proxy/nobody/x', { 'x-org-id': 'ORG' }), 404, 'not_found'],
  ['gateway', 'owner', get(`/api/org/${UNKNOWN}`), 404, 'not_found'],
  ['gateway', 'owner', get('/api/orgs', { 'x-api-key': 'KEY' }), 400, 'request.header_invalid'],
  ['gateway', 'key', get('/api/org/ORG'), 403, 'access.denied'],
  ['service', 'owner', { method: 'POST', path: '/api/org/ORG/api-keys', body: {} }, 400, 'request.invalid'],
  ['service', 'owner', { method: 'POST', path: '/api/org/ORG/api-keys', raw: '{' }, 400, 'request.malformed'],
  ['service', 'viewer', { method: 'POST', path: '/api/org/ORG/api-keys', body: { name: 'x' } }, 403, 'access.denied'],
  ['service', 'owner', { method: 'DELETE', path: `/api/org/ORG/api-keys/${UNKNOWN}` }, 404, 'api_key.not_found'],
  ['service', 'owner', { method: 'PUT', path: '/api/org/ORG' }, 405, 'method_not_allowed'],
  [
    'service',
    'nobody',
    { method: 'POST', path: '/api/auth/login', body: { email: 'no@body.test', password: 'not-the-password' } },
    401,
    'auth.invalid_credentials',
  ],
];

const ANSWERED: [who: Who, call: Call][] = [
  ['nobody', get('/health')],
  ['nobody', get('/.well-known/jwks.json')],
  ['nobody', get('/api/permissions')],
  ['nobody', get('/api/openapi.json')],
  ['owner', get('/api/org/ORG')],
  ['owner', get('/api/proxy/example/x', { 'x-org-id': 'ORG' })],
  ['key', get('/api/proxy/example/x')],
];

function send(who: Who, call: Call): Promise<Answer> {
  const filled = JSON.parse(
    JSON.stringify({ ...call, raw: undefined })
      .replaceAll('ORG', acme.id)
      .replaceAll('KEY', key),
  );
  const token = who === 'nobody' ? undefined : who === 'key' ? key : acme.people[who].client.token;
  return visitor()
    .as(token)
    .send({ ...filled, ...(call.raw ? { raw: call.raw } : {}) });
}

function expectSecurityHeaders({ headers }: Answer): void {
  expect(headers).toMatchObject({
    'strict-transport-security': expect.stringMatching(/^max-age=(\d{8,}); includeSubDomains/),
    'x-content-type-options': 'nosniff',
    'x-frame-options': expect.stringMatching(/^(SAMEORIGIN|DENY)$/),
    'referrer-policy': expect.any(String),
    'content-security-policy': expect.any(String),
    'x-request-id': expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(headers['x-powered-by']).toBeUndefined();
  // The name and no version.
  expect(headers.server ?? 'nginx').toBe('nginx');
}

function expectRateLimit({ headers }: Answer): void {
  expect(headers).toMatchObject({
    'ratelimit-policy': expect.stringMatching(/"[a-z]+-minute";q=\d+;w=60/),
    ratelimit: expect.stringMatching(/^"[a-z]+-(minute|hour|day)";r=\d+;t=\d+$/),
    'x-ratelimit-limit': expect.stringMatching(/^\d+$/),
    'x-ratelimit-remaining': expect.stringMatching(/^\d+$/),
    'x-ratelimit-reset': expect.stringMatching(/^\d+$/),
  });
}

describe('an error is a problem document with every header, whoever made it', () => {
  test.each(
    REFUSED.map((one) => [`${one[0]}: ${one[2].method} ${one[2].path.slice(0, 40)} by ${one[1]}`, one] as const),
  )('%s', async (_, [maker, who, call, status, code]) => {
    const answer = await send(who, call);

    expect({ status: answer.status, code: answer.body['code'] }).toEqual({ status, code });
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.body).toMatchObject({
      type: expect.any(String),
      title: expect.any(String),
      detail: expect.any(String),
      status,
      request_id: answer.headers['x-request-id'],
    });
    // No stack, no SQL, no path of ours, no address of a process.
    expect(answer.text).not.toMatch(/\bat \/|node_modules|select |insert |127\.0\.0\.1|ECONN/);
    expectSecurityHeaders(answer);
    if (maker === 'gateway' || maker === 'service') expectRateLimit(answer);
  });
});

describe('an answer has every header', () => {
  test.each(ANSWERED.map((one) => [`${one[1].path} by ${one[0]}`, one] as const))('%s', async (_, [who, call]) => {
    const answer = await send(who, call);
    expect(answer.status).toBe(200);
    expectSecurityHeaders(answer);
    if (!['/health', '/.well-known/jwks.json', '/api/openapi.json'].includes(call.path)) expectRateLimit(answer);
  });
});

test('what is left of a quota goes down with every request, and a 401 says how to authenticate', async () => {
  const client = visitor();
  const first = await client.get('/api/permissions');
  const second = await client.get('/api/permissions');
  expect(Number(second.headers['x-ratelimit-remaining'])).toBe(Number(first.headers['x-ratelimit-remaining']) - 1);
  expect((await client.get('/api/orgs')).headers['www-authenticate']).toMatch(/^Bearer/);
});

test('answers with tokens, keys and people are stored by nobody', async () => {
  const { owner } = acme.people;
  for (const path of [
    '/api/auth/me',
    '/api/auth/sessions',
    `/api/org/${acme.id}/members`,
    `/api/org/${acme.id}/api-keys`,
  ])
    expect([path, (await owner.client.get(path)).headers['cache-control']]).toEqual([path, 'no-store']);
  const created = await owner.client.post(`/api/org/${acme.id}/api-keys`, { name: 'one' });
  expect(created.headers['cache-control']).toBe('no-store');
  const refreshed = await visitor().post('/api/auth/refresh', { refresh_token: owner.refreshToken });
  expect(refreshed.headers['cache-control']).toBe('no-store');
});

test('named origins only are let in by CORS', async () => {
  const preflight = (origin: string) =>
    visitor().send({
      method: 'OPTIONS',
      path: '/api/orgs',
      headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' },
    });
  const known = await preflight('http://localhost:5173');
  expect(known.headers['access-control-allow-origin']).toBe('http://localhost:5173');
  for (const origin of ['http://localhost:5173.evil.test', 'https://evil.test', 'null'])
    expect((await preflight(origin)).headers['access-control-allow-origin']).toBeUndefined();
});
