import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LINK_PAGES } from '../gateway/src/own/link-pages/pages.ts';
import { type Edge, rawPlain, startEdge } from './test-edge.ts';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge();
});
afterAll(() => edge.stop());

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
const line = (target: string, extra = '') =>
  `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${extra}\r\n`;

describe('what the gateway is told', () => {
  test('S093 only the edge says who and where a request comes from', async () => {
    const forged: Record<string, string> = {};
    for (const name of FORGED) forged[name] = 'forged';

    await edge.send('/api/orgs', { headers: { ...forged, authorization: 'Bearer mine', 'x-org-id': 'org' } });

    const { headers } = edge.captured.at(-1) ?? {};
    expect(JSON.stringify(headers)).not.toContain('forged');
    expect(headers).toMatchObject({
      host: 'localhost',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'localhost',
      'x-forwarded-port': String(edge.httpsPort),
      'x-real-ip': '127.0.0.1',
      authorization: 'Bearer mine',
      'x-org-id': 'org',
    });
  });

  test('S093 a name with an underscore or another odd character does not pass for one of ours', async () => {
    const odd = ['X_User_Id', 'Gatehouse_Identity', 'X_Forwarded_For', 'X.User.Id', 'X!Real'];

    await edge.raw(line('/api/orgs', odd.map((name) => `${name}: forged\r\n`).join('')));

    expect(JSON.stringify(edge.captured.at(-1)?.headers)).not.toContain('forged');
  });

  test('S095 a client cannot have headers dropped by naming them in Connection', async () => {
    const connection =
      'close, X-User-Id, X-Forwarded-For, X-Real-IP, X-Request-Id, Authorization, x-org-id, traceparent';

    await edge.send('/api/orgs', { headers: { connection, authorization: 'Bearer mine', 'x-org-id': 'org' } });

    expect(edge.captured.at(-1)?.headers).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-real-ip': '127.0.0.1',
      'x-request-id': expect.stringMatching(/^[0-9a-f]{32}$/),
      traceparent: expect.stringMatching(/^00-/),
      authorization: 'Bearer mine',
      'x-org-id': 'org',
    });
  });

  test('one id names the request for the client, the gateway, the trace and the log', async () => {
    const headers = { 'x-request-id': 'mine-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };

    const answer = await edge.send('/api/orgs?token=hidden', { headers: { ...headers, tracestate: 'x=1' } });

    const id = String(answer.headers['x-request-id']);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    const { headers: seen } = edge.captured.at(-1) ?? {};
    expect(seen?.['x-request-id']).toBe(id);
    expect(seen?.['traceparent']).toBe(`00-${id}-${id.slice(0, 16)}-00`);
    expect(seen).not.toHaveProperty('tracestate');
    // nginx writes the line after the answer.
    const logged = await eventually(() => edge.accessLog().find((entry) => entry['request_id'] === id));
    expect(logged).toMatchObject({
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      trace_id: id,
      span_id: id.slice(0, 16),
      client_request_id: 'mine-1',
      'service.name': 'nginx',
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'url.path': '/api/orgs',
      'client.address': '127.0.0.1',
      duration_ms: expect.any(Number),
    });
    expect(JSON.stringify(logged)).not.toContain('hidden');
  });

  test('S118 whatever a client writes, the log has one parsable line for it', async () => {
    await edge.send('/api/last-of-before');
    const before = await eventually(
      () => edge.accessLog().findIndex((entry) => entry['url.path'] === '/api/last-of-before') + 1,
    );
    const agent = `"}{"level":"fatal"} \u001b[31m \u00e9 ${'a'.repeat(4000)}`;

    await edge.raw(Buffer.from(line('/api/x', `User-Agent: ${agent}\r\nX-Request-Id: a"b\r\n`), 'latin1'));
    await edge.raw(Buffer.from(line('/caf\u00e9"}{'), 'latin1'));
    await edge.raw('nonsense\r\n\r\n');

    const lines = await eventually(() => {
      const since = edge.accessLog().slice(before);
      return since.length >= 3 && since;
    });
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatchObject({
      client_request_id: '',
      'user_agent.original': expect.not.stringContaining('\u001b'),
    });
    expect(String(lines[0]?.['user_agent.original']).length).toBeLessThanOrEqual(512);
  });

  test('bodies, queries and encoded characters arrive as they were sent', async () => {
    const body = 'x'.repeat(300_000);

    await edge.send('/api/caf%C3%A9/a:b@c?q=%2f..%2f&e=', { method: 'POST', body });

    expect(edge.captured.at(-1)).toMatchObject({ url: '/api/caf%C3%A9/a:b@c?q=%2f..%2f&e=', body });
  });
});

describe('what is refused', () => {
  test.each([
    '//api/auth/login',
    '/api//auth/login',
    '/./api/auth/login',
    '/api/./auth/login',
    '/x/../api/auth/login',
    '/health/../api/admin',
    '/api/..',
    '/../../etc/passwd',
    '/api/auth/%6cogin',
    '/api/auth/%6Cogin',
    '/api%2fauth/login',
    '/api%2Fauth',
    '/api%5cauth',
    '/api/%00',
    '/api/%252e',
    '/api/%2e%2e/admin',
    '/api/%7e',
    '/api/%c0%af',
    '/api/%0d%0aX:y',
    '/api/%zz',
    '/api/%4',
    '/api/auth/login;x',
    '/api/;/me',
    '/api\\auth\\login',
    '/api/{x}',
    '/api/auth/login#x',
    '/api/caf\u00e9',
    '/api/x?q=caf\u00e9',
    '/api/\u0001',
    '/api/a b',
  ])('S100 S108 the path %j', async (path) => {
    const before = edge.captured.length;

    const answer = await edge.raw(Buffer.from(line(path), 'latin1'));

    expect(statusOf(answer)).toBe(400);
    expect(edge.captured).toHaveLength(before);
  });

  test.each([
    '/metrics',
    '/livez',
    '/readyz',
    '/nginx_status',
    '/docs',
    '/openapi.json',
    '/.env',
    '/.git/config',
    '/api',
    '/v1',
    '/admin',
    '/api/proxy',
    '/apix',
  ])('S109 %s does not exist', async (path) => {
    const before = edge.captured.length;

    const answer = await edge.send(path);

    expect(answer.status).toBe(404);
    expect(edge.captured).toHaveLength(before);
  });

  test.each(['TRACE', 'CONNECT', 'PROPFIND', 'FOO', 'get', 'gET', 'G@T'])('S101 the method %s', async (method) => {
    const before = edge.captured.length;

    const answer = await edge.raw(`${method} /api/orgs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);

    expect([400, 405]).toContain(statusOf(answer));
    expect(edge.captured).toHaveLength(before);
  });

  test('a refused method is told which ones there are', async () => {
    const answer = await edge.send('/api/orgs', { method: 'PROPFIND' });

    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  });

  test.each([
    ['Host: evillocalhost', 421],
    ['Host: localhost.evil', 421],
    ['Host: localhost.', 400],
    ['Host: 127.0.0.1', 421],
    ['Host: ', 400],
    ['X: y', 400],
    ['Host: localhost\r\nHost: evil', 400],
    ['Host: evil\r\nHost: localhost', 400],
    ['Host: localhost@evil', 421],
    ['Host: localhost:99999999', 400],
  ])('S106 %j', async (host, status) => {
    const before = edge.captured.length;

    const answer = await edge.raw(`GET /api/orgs HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`);

    expect(statusOf(answer)).toBe(status);
    expect(edge.captured).toHaveLength(before);
  });

  test('S106 an absolute target counts only when it names the same host', async () => {
    const absolute = (target: string, host: string) =>
      edge.raw(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

    expect(statusOf(await absolute('https://localhost/api/same', 'localhost'))).toBe(200);
    expect(edge.captured.at(-1)?.url).toBe('/api/same');
    expect(statusOf(await absolute('https://localhost/api/x', 'evil'))).toBe(400);
    expect(statusOf(await absolute('https://evil/api/x', 'localhost'))).toBe(421);
    expect(statusOf(await absolute('https://localhost//api/x', 'localhost'))).toBe(400);
    expect(edge.captured.at(-1)?.url).toBe('/api/same');
  });

  test('HTTP/2 is judged by the same rules', async () => {
    const session = connectHttp2(`https://localhost:${edge.httpsPort}`, { ca: edge.ca });
    const ask = (headers: OutgoingHttpHeaders) =>
      new Promise<unknown>((resolve, reject) => {
        const stream = session.request(headers);
        stream.on('response', (answer) => resolve(answer[':status']));
        stream.on('error', reject).resume().end();
      });

    expect(await ask({ ':path': '/api/two' })).toBe(200);
    expect(edge.captured.at(-1)).toMatchObject({ url: '/api/two', headers: { host: 'localhost' } });
    expect(await ask({ ':path': '/api/%6cogin' })).toBe(400);
    expect(await ask({ ':path': '/api/x', ':method': 'PROPFIND' })).toBe(405);
    expect(await ask({ ':path': '/api/x', ':authority': 'evil' })).toBe(421);
    session.close();
  });

  test('S106 a host of another name gets nothing whatever TLS was told', async () => {
    const answer = await edge.raw('GET /api/x HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n', { servername: '' });

    expect(statusOf(answer)).toBe(421);
  });

  test('what is too large', async () => {
    const large = await edge.send('/api/x', { method: 'POST', body: 'x'.repeat(1_100_000) });
    const long = await edge.raw(line(`/api/${'a'.repeat(9000)}`));
    const heavy = await edge.raw(line('/api/x', `X-A: ${'a'.repeat(9000)}\r\n`));

    expect([large.status, statusOf(long), statusOf(heavy)]).toEqual([413, 414, 431]);
  });
});

describe('request smuggling', () => {
  const POST = 'POST /api/x HTTP/1.1\r\nHost: localhost\r\n';
  const SMUGGLED = 'GET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';

  test.each([
    ['CL.TE', `${POST}Content-Length: 55\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['TE.CL', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n${SMUGGLED}0\r\n\r\n`],
    ['TE xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['TE chunked, identity', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['TE twice', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['TE 0x0b', `${POST}Transfer-Encoding:\u000bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['TE before a space', `${POST}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['CL twice', `${POST}Content-Length: 0\r\nContent-Length: 50\r\n\r\n${SMUGGLED}`],
    ['CL +5', `${POST}Content-Length: +5\r\n\r\nhello${SMUGGLED}`],
    ['CL 5,5', `${POST}Content-Length: 5,5\r\n\r\nhello${SMUGGLED}`],
    ['CL -1', `${POST}Content-Length: -1\r\n\r\n${SMUGGLED}`],
    ['TE in HTTP/1.0', `${POST.replace('1.1', '1.0')}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ])('S102 %s is refused and the connection closed', async (_name, bytes) => {
    const before = edge.captured.length;

    const answer = await edge.raw(Buffer.from(bytes, 'latin1'));

    expect(statusOf(answer)).toBe(400);
    expect(answer.match(/HTTP\/1\.1 \d{3}/g)).toHaveLength(1);
    expect(edge.captured.slice(before)).toEqual([]);
  });

  test('S102 meanwhile everyone else gets their own answers', async () => {
    const attack = `${POST}Content-Length: 55\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`;
    const attacks = Array.from({ length: 20 }, () => edge.raw(attack));
    const canaries = Array.from({ length: 50 }, async (_, worker) => {
      for (let round = 0; round < 20; round++) {
        const marker = `${worker}-${round}`;
        const answer = await edge.send(`/api/${marker}`, { headers: { 'x-marker': marker } });
        expect(JSON.parse(answer.body)).toEqual({ url: `/api/${marker}`, marker });
      }
    });

    await Promise.all([...attacks, ...canaries]);
  });
});

describe('the pages that links in mails open', () => {
  test.each(LINK_PAGES.map(({ path }) => path))('%s reaches the gateway, and nothing beside it does', async (path) => {
    expect((await edge.send(path)).status).toBe(200);
    expect(edge.captured.at(-1)).toMatchObject({ url: path });
    const before = edge.captured.length;
    for (const near of [`${path}/`, `${path}/x`, `${path}x`, `/x${path}`, path.toUpperCase()])
      expect([near, (await edge.send(near)).status]).toEqual([near, 404]);
    expect(edge.captured).toHaveLength(before);
  });
});

describe('answers of the edge itself', () => {
  test('S110 every error is a problem document with the request id', async () => {
    const answers = await Promise.all([
      edge.send('/nowhere'),
      edge.send('/api/%6c'),
      edge.send('/api/x', { method: 'FOO' }),
      edge.send('/', { headers: { host: 'evil' } }),
      edge.send('/api/x', { method: 'POST', body: 'x'.repeat(1_100_000) }),
    ]);

    for (const { status, headers, body } of answers) {
      expect(headers['content-type']).toBe('application/problem+json');
      const problem = JSON.parse(body);
      expect(problem).toEqual({
        type: `urn:gatehouse:problem:${problem.code}`,
        title: expect.any(String),
        status,
        detail: expect.any(String),
        code: expect.any(String),
        request_id: headers['x-request-id'],
      });
    }
    expect(answers.map(({ status }) => status)).toEqual([404, 400, 405, 421, 413]);
  });

  test('a request that nginx cannot even read gets one too', async () => {
    const answer = await edge.raw('\u0016\u0003\r\n\r\n');

    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"request.malformed"');
  });

  test('plain HTTP on the TLS port gets one too', async () => {
    const answer = await rawPlain(edge.httpsPort, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');

    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"request.malformed"');
  });

  test('every answer carries the security headers, errors and refusals too', async () => {
    for (const path of ['/api/x', '/nowhere', '/api/%6c']) {
      const { headers } = await edge.send(path);
      expect(headers).toMatchObject({
        'strict-transport-security': expect.stringMatching(/max-age=(3153600\d|6307200\d)/),
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'SAMEORIGIN',
        'referrer-policy': 'no-referrer',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
        server: 'nginx',
      });
    }
  });

  test('S112 plain HTTP redirects pages and refuses bodies', async () => {
    const page = await edge.sendPlain('/api/docs?x=1');
    const login = await edge.sendPlain('/api/auth/login', { method: 'POST', body: '{"password":"x"}' });

    expect(page.status).toBe(301);
    expect(page.headers.location).toBe(`https://localhost:${edge.httpsPort}/api/docs?x=1`);
    expect(page.headers).not.toHaveProperty('strict-transport-security');
    expect(login.status).toBe(400);
    expect(login.headers).not.toHaveProperty('location');
    expect((await edge.sendPlain('/', { headers: { host: 'evil' } })).status).toBe(421);
  });

  test('S112 TLS 1.2 and 1.3 with forward secrecy, and nothing older', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    const weak = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES256-SHA256:ECDHE-ECDSA-AES128-SHA' } as const;

    await expect(edge.raw(line('/'), old)).rejects.toThrow();
    await expect(edge.raw(line('/'), weak)).rejects.toThrow();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      expect(statusOf(await edge.raw(line('/'), { minVersion: version, maxVersion: version }))).toBe(200);
  });

  test('the operators’ page is on its own port', async () => {
    const answer = await fetch(`http://127.0.0.1:${edge.opsPort}/nginx_status`);

    expect(await answer.text()).toContain('Active connections');
  });
});

const FORGED = [
  ...['X-User-Id', 'X-User-Role', 'X-Org-Role', 'X-Platform-Admin', 'X-Internal-Context', 'X-Service-Token'],
  ...['Remote-User', 'X-Remote-User', 'X-Forwarded-User', 'Gatehouse-Identity', 'Forwarded', 'X-Forwarded-For'],
  ...['X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Port', 'X-Forwarded-Prefix', 'X-Real-IP', 'True-Client-IP'],
  ...['CF-Connecting-IP', 'X-Client-IP', 'X-Original-URL', 'X-Rewrite-URL', 'X-HTTP-Method-Override', 'X-Request-Id'],
  ...[
    'traceparent',
    'tracestate',
    'baggage',
    'sentry-trace',
    'Proxy',
    'Proxy-Authorization',
    'X-Middleware-Subrequest',
  ],
];
