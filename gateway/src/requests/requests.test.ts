import { canonicalAddress } from '@gatehouse/kit/addresses';
import { readTarget } from '@gatehouse/kit/request-target';
import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, identityIn, rawRequest, testHouse } from '../testing.ts';
import { limiterKey } from './address.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;
let org: string;
let user: ReturnType<House['user']>;

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
  org = house.organization();
  user = house.user({ org_id: org });
});
afterAll(() => house.close());

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
const raw = (lines: string[], body = '') => rawRequest(gateway.port, `${lines.join('\r\n')}\r\n\r\n${body}`);
const get = (target: string, ...lines: string[]) =>
  raw([`GET ${target} HTTP/1.1`, 'host: gatehouse.test', 'connection: close', ...lines]);

describe('a path', () => {
  test('S071 has one spelling: another one never reaches a service', async () => {
    const before = house.auth.requests.length;
    const targets = [
      '/api/bootstrap/',
      '/api/Bootstrap',
      '/API/bootstrap',
      '/api/%62ootstrap',
      '//api/bootstrap',
      '/api//bootstrap',
      '/api/./bootstrap',
      '/api/x/../bootstrap',
      '/api/bootstrap%2f',
      '/api%2fbootstrap',
      '/api/bootstrap%00',
      '/api/bootstrap%2500',
      '/api/bootstrap;x=1',
      '/api\\bootstrap',
      '/api/bootstrap%5c',
      'http://gatehouse.test/api/bootstrap',
      '/api/b\u00f6otstrap',
      '/api/bootstrap#x',
    ];

    const answers = await Promise.all(
      targets.map((target) =>
        raw([`POST ${target} HTTP/1.1`, 'host: gatehouse.test', 'connection: close', 'content-length: 2'], '{}'),
      ),
    );

    for (const [i, answer] of answers.entries())
      expect([targets[i], [400, 404].includes(statusOf(answer))]).toEqual([targets[i], true]);
    expect(house.auth.requests.length).toBe(before);
    expect((await api.post('/v1/bootstrap', {})).status).toBe(200);
    expect(house.auth.requests.at(-1)?.url).toBe('/api/bootstrap');
  });

  test('S108 is public only when it is exactly on the list', async () => {
    const targets = [
      '/api/auth/login.x',
      '/x/api/auth/login',
      '/health/../api/admin/audit',
      '/api/admin/audit?x=/health',
      '/api/admin/health',
      '/api/auth/login/x',
    ];

    const answers = await Promise.all(targets.map((target) => get(target)));

    expect(answers.map(statusOf).every((status) => [400, 401, 404].includes(status))).toBe(true);
  });

  test('S115 and its query are bounded, and the query goes on as it came', async () => {
    expect(statusOf(await get(`/api/permissions?${'a[]=1&'.repeat(2000)}`))).toBe(414);
    expect(statusOf(await get(`/api/permissions?${'a'.repeat(20_000)}`))).toBe(431);
    expect(statusOf(await get('/api/permissions?a=1&a=2&b[]=%C3%A9'))).toBe(200);
    expect(house.org.requests.at(-1)?.url).toBe('/api/permissions?a=1&a=2&b[]=%C3%A9');
  });

  test('keeps escapes that have one reading', () => {
    expect(readTarget('/api/proxy/x/a%20b/%C3%A9/%40')).toEqual({ path: '/api/proxy/x/a%20b/%C3%A9/%40', query: '' });
    for (const odd of ['/a%2Fb', '/a%2e', '/%41', '/%7a', '/%7F', '/%0a', '/%3b', '/%', '/%g1', '/..', '/.', '/a b'])
      expect([odd, readTarget(odd)]).toEqual([odd, 'malformed']);
    for (const fine of ['/', '/...', '/a..b/.well-known/x', '/v2/%C3%A9', "/a!$&'()*+,=:@-._~"])
      expect(readTarget(fine)).toEqual({ path: fine, query: '' });
  });
});

describe('a method', () => {
  test('S101 is one of seven, and is what the request line says', async () => {
    const lower = await raw(['get /api/permissions HTTP/1.1', 'host: x', 'connection: close']);
    const trace = await raw(['TRACE /api/permissions HTTP/1.1', 'host: x', 'connection: close']);
    const unknown = await raw(['BREW /api/permissions HTTP/1.1', 'host: x', 'connection: close']);
    const connect = await raw(['CONNECT example.test:443 HTTP/1.1', 'host: x', 'connection: close']);
    const withBody = await raw(
      ['GET /api/permissions HTTP/1.1', 'host: x', 'connection: close', 'content-length: 2'],
      '{}',
    );
    const search = await raw(['SEARCH /api/permissions HTTP/1.1', 'host: x', 'connection: close']);
    await get('/api/permissions', 'x-http-method-override: DELETE', 'x-method-override: DELETE');

    expect([lower, trace, unknown, withBody, search].map(statusOf)).toEqual([400, 405, 400, 400, 405]);
    expect(connect === '' || statusOf(connect) >= 400).toBe(true);
    expect(house.org.requests.at(-1)?.method).toBe('GET');
    expect(house.org.requests.at(-1)?.rawHeaders.join()).not.toMatch(/override/i);
  });
});

describe('framing', () => {
  test('S102 that two readers could read differently ends the connection', async () => {
    const before = house.auth.requests.length;
    const smuggled = 'GET /api/permissions HTTP/1.1\r\nhost: x\r\n\r\n';
    const framings = [
      ['content-length: 4', 'transfer-encoding: chunked'],
      ['transfer-encoding: xchunked'],
      ['transfer-encoding: chunked, identity'],
      ['transfer-encoding: identity'],
      ['transfer-encoding: \x0bchunked'],
      ['transfer-encoding: chunked', 'transfer-encoding: chunked'],
      ['content-length: 2', 'content-length: 3'],
      ['content-length: +5'],
      ['content-length: 5,5'],
      ['content-length: 0x5'],
      ['content-length : 5'],
    ];

    const answers = await Promise.all(
      framings.map((lines) => raw(['POST /api/auth/login HTTP/1.1', 'host: x', ...lines], `0\r\n\r\n${smuggled}`)),
    );
    const old = await raw(
      ['POST /api/auth/login HTTP/1.0', 'host: x', 'transfer-encoding: chunked'],
      `0\r\n\r\n${smuggled}`,
    );

    for (const [i, answer] of answers.entries()) {
      expect([framings[i], statusOf(answer)]).toEqual([framings[i], 400]);
      expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    }
    expect(statusOf(old)).toBe(400);
    expect(house.auth.requests.length).toBe(before);
  });

  test('S113 of a body too large is refused before or while it comes', async () => {
    const known = await raw([
      'POST /api/auth/login HTTP/1.1',
      'host: x',
      'content-length: 11000000',
      'connection: close',
    ]);
    const endless = await rawRequest(
      gateway.port,
      `POST /api/auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(20)}`,
    );

    expect(statusOf(known)).toBe(413);
    expect([413, 0]).toContain(statusOf(endless));
    expect(house.auth.requests.some(({ body }) => body.length > 1_048_576)).toBe(false);
  });
});

describe('headers', () => {
  const forged = {
    'x-user-id': 'evil',
    'x-user-role': 'admin',
    'x-org-role': 'owner',
    'x-platform-admin': 'true',
    'x-internal-context': 'evil',
    'x-service-token': 'evil',
    'remote-user': 'evil',
    'gatehouse-identity': 'evil',
    'gatehouse-anything': 'evil',
    'x-forwarded-user': 'evil',
    'x-real-ip': '203.0.113.9',
    forwarded: 'for=203.0.113.9',
    'true-client-ip': '203.0.113.9',
    'cf-connecting-ip': '203.0.113.9',
    'x-original-url': '/evil',
    cookie: 'session=evil',
    te: 'trailers',
  };

  test('S093 that say who somebody is are the gateway’s alone', async () => {
    await api.get('/api/proxy/example/x', { ...user.headers, ...forged, 'x-org-id': org, 'x-custom': 'stays' });

    const received = house.upstream.requests.at(-1);
    expect(received?.rawHeaders.join('\n')).not.toMatch(/evil|203\.0\.113\.9/);
    expect(received?.rawHeaders.filter((name) => name.toLowerCase() === 'gatehouse-identity')).toHaveLength(1);
    expect(identityIn(received, 'example')).toMatchObject({
      sub: user.user_id,
      org: { id: org, role: 'viewer', plan: 'free' },
    });
    expect(received?.headers).toMatchObject({
      'x-custom': 'stays',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'gatehouse.test',
    });
    for (const name of ['authorization', 'x-api-key', 'x-org-id', 'cookie', 'te'])
      expect(received?.headers[name]).toBeUndefined();
  });

  test('S093 with underscores or other odd names do not pass', async () => {
    await get('/api/permissions', 'X_User_Id: evil', 'x.user.id: evil', 'X-USER-ID: evil', "x'y: evil", 'fine-1: yes');

    expect(house.org.requests.at(-1)?.rawHeaders.join('\n')).not.toContain('evil');
    expect(house.org.requests.at(-1)?.headers['fine-1']).toBe('yes');
  });

  test('S095 cannot be listed away by Connection', async () => {
    const answer = await get(
      '/api/proxy/example/x',
      `authorization: ${user.headers.authorization}`,
      `x-org-id: ${org}`,
      'x-secret-hop: mine',
    );
    const listed = await rawRequest(
      gateway.port,
      [
        'GET /api/proxy/example/y HTTP/1.1',
        'host: x',
        'Connection: close, X-User-Id, gatehouse-identity, X-Forwarded-For, x-request-id, Authorization, x-org-id, x-secret-hop',
        `authorization: ${user.headers.authorization}`,
        `x-org-id: ${org}`,
        'x-secret-hop: mine',
        '',
        '',
      ].join('\r\n'),
    );

    expect([statusOf(answer), statusOf(listed)]).toEqual([200, 200]);
    const received = house.upstream.requests.at(-1);
    expect(identityIn(received, 'example')).toMatchObject({ sub: user.user_id, org: { id: org } });
    expect(received?.headers['x-forwarded-for']).toBe('127.0.0.1');
    expect(received?.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(received?.headers['x-secret-hop']).toBeUndefined();
  });

  test('S118 of ids are taken from a trusted proxy when well-formed, else made', async () => {
    const id = '0af7651916cd43dd8448eb211c80319c';
    const traceparent = `00-${id}-b7ad6b7169203331-01`;
    const good = await get('/api/permissions', `x-request-id: ${id}`, `traceparent: ${traceparent}`);
    expect(good).toContain(`x-request-id: ${id}`);
    expect(house.org.requests.at(-1)?.headers).toMatchObject({ 'x-request-id': id, traceparent });

    for (const bad of ['"}{"level":"fatal"', 'a b', '\x1b[31m', 'x'.repeat(65)]) {
      const answer = await get('/api/permissions', `x-request-id: ${bad}`, 'traceparent: 00-0-0-0');
      if (statusOf(answer) === 400) continue;
      expect(answer).toMatch(/x-request-id: [0-9a-f]{32}\r\n/);
      expect(house.org.requests.at(-1)?.headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    }
  });
});

describe('a client address', () => {
  test('S097 is what the trusted proxy wrote, and a list of several is not', async () => {
    await get('/api/permissions', 'x-forwarded-for: 198.51.100.7');
    expect(house.org.requests.at(-1)?.headers['x-forwarded-for']).toBe('198.51.100.7');
    await get('/api/permissions', 'x-forwarded-for: 203.0.113.1, 198.51.100.7');
    expect(house.org.requests.at(-1)?.headers['x-forwarded-for']).toBe('127.0.0.1');

    const untrusting = await house.start({ settings: { TRUSTED_PROXIES: '192.0.2.1' } });
    await client(untrusting.url).get('/api/permissions', { 'x-forwarded-for': '198.51.100.7', 'x-request-id': 'mine' });
    expect(house.org.requests.at(-1)?.headers['x-forwarded-for']).toBe('127.0.0.1');
    expect(house.org.requests.at(-1)?.headers['x-request-id']).not.toBe('mine');
  });

  test('S099 is one for a /64 and for every spelling', () => {
    const key = (address: string) => limiterKey(canonicalAddress(address) ?? '');
    expect(key('::ffff:198.51.100.7')).toBe('198.51.100.7');
    expect(key('::FFFF:c633:6407')).toBe('198.51.100.7');
    expect(key('2001:DB8:0:1::1')).toBe(key('2001:db8:0:1:ffff:ffff:ffff:ffff'));
    expect(key('2001:0db8:0000:0001:0000:0000:0000:0001')).toBe(key('2001:db8:0:1::1'));
    expect(key('2001:db8:0:2::1')).not.toBe(key('2001:db8:0:1::1'));
    for (const odd of ['', 'x', '1.2.3', '01.2.3.4', '::1%eth0', '1.2.3.4, 5.6.7.8'])
      expect(canonicalAddress(odd)).toBeUndefined();
  });
});

describe('an error', () => {
  test('S110 is a problem document with the request id, and tells nothing of the inside', async () => {
    const answers = await Promise.all([
      api.get('/nothing'),
      api.get('/api/org/x/members'),
      api.post('/api/auth/me', {}),
      api.get('/metrics'),
      api.get('/.env'),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([404, 401, 401, 404, 404]);
    for (const { body, headers } of answers) {
      expect(headers.get('content-type')).toBe('application/problem+json');
      expect(body).toEqual({
        type: expect.stringMatching(/^urn:gatehouse:problem:/),
        title: expect.any(String),
        status: expect.any(Number),
        detail: expect.any(String),
        code: expect.any(String),
        request_id: headers.get('x-request-id'),
      });
    }
  });
});
