import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { closeVisitors, freshAddress, house, query, visitor } from './house/house.ts';
import { type Company, company, newPassword, platformAdmin } from './house/people.ts';
import { plain } from './house/plain.ts';

let acme: Company;
beforeAll(async () => {
  acme = await company(['owner', 'viewer']);
}, 60_000);
afterAll(closeVisitors);

const REFUSED = [400, 401, 403, 404, 405, 421];

describe('S071: bootstrap has one spelling', () => {
  const admins = () =>
    query(`select (select count(*)::int from auth.users where role = 'admin') as admins,
                  (select count(*)::int from org.organizations) as organizations`);
  const body = () => ({
    organization: { name: 'Second' },
    admin: { email: 'second@second.test', name: 'Second', password: newPassword() },
  });

  test.each([
    '/api/bootstrap/',
    '/api/Bootstrap',
    '/API/bootstrap',
    '/api/%62ootstrap',
    '//api/bootstrap',
    '/api//bootstrap',
    '/api/./bootstrap',
    '/api/x/../bootstrap',
    '/api/bootstrap;x=1',
    '/api/bootstrap%20',
    '/api/bootstrap%00',
    '/api\\bootstrap',
    '/v1/bootstrap',
    '/v1/v1/bootstrap',
    '/bootstrap',
  ])('%s founds nothing', async (path) => {
    await platformAdmin();
    const before = await admins();
    const answer = await visitor().send({ method: 'POST', path, body: body() });
    expect([400, 403, 404]).toContain(answer.status);
    expect(await admins()).toEqual(before);
  });

  test.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])(
    '%s does not change a method',
    async (name) => {
      const answer = await visitor().send({ method: 'GET', path: '/api/bootstrap', headers: { [name]: 'POST' } });
      expect([401, 404, 405]).toContain(answer.status);
    },
  );

  test('the port of the service itself answers nobody without an identity', async () => {
    const before = await admins();
    const { AUTH_URL } = house().settings;
    const answer = await plain(`${AUTH_URL}/api/bootstrap`, {
      method: 'POST',
      body: body(),
      headers: { 'gatehouse-identity': 'eyJhbGciOiJub25lIn0.e30.' },
    });
    expect(answer.status).toBe(401);
    expect(await admins()).toEqual(before);
  });
});

describe('S100: a sign-in has one spelling, or counts as one', () => {
  test.each([
    '//api/auth/login',
    '/./api/auth/login',
    '/api/./auth/login',
    '/api/auth/login/',
    '/api/auth/%6cogin',
    '/api/auth/Login',
    '/api/auth/login;x',
    '/api/auth/login/x.css',
    '/api/auth/login.json',
    '/x/api/auth/login',
    '/api/auth/x/../login',
  ])('%s signs nobody in', async (path) => {
    const { email, password } = acme.people.viewer;
    const answer = await visitor().send({ method: 'POST', path, body: { email, password } });
    expect([400, 401, 404]).toContain(answer.status);
    expect(answer.text).not.toContain('access_token');
  });

  test.each(['/api/auth/login?q=1', '/v1/auth/login', 'absolute'])('%s counts as a sign-in', async (path) => {
    const { email } = acme.people.owner;
    const from = freshAddress();
    const target = path === 'absolute' ? `${house().url}/api/auth/login` : path;
    const statuses: number[] = [];
    const client = visitor({ from, patient: false });
    for (let i = 0; i < 6; i++)
      statuses.push(
        (await client.send({ method: 'POST', path: target, body: { email, password: 'not-the-one' } })).status,
      );
    expect(statuses.at(-1)).toBe(429);
  });
});

describe('S097: an address is that of the socket', () => {
  test('headers that name another one buy no more sign-ins, and the record has the real one', async () => {
    const from = freshAddress();
    const client = visitor({ from, patient: false });
    const answers = [];
    for (let i = 0; i < 20; i++) {
      const other = `203.0.113.${i}`;
      const headers = {
        'x-forwarded-for': other,
        'x-real-ip': other,
        forwarded: `for=${other}`,
        'true-client-ip': other,
        'cf-connecting-ip': other,
      };
      answers.push(
        await client.post('/api/auth/login', { email: `nobody-${i}@people.test`, password: 'not-the-one' }, headers),
      );
    }
    expect(answers.slice(0, 5).map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
    for (const answer of answers.slice(5)) {
      expect(answer.status).toBe(429);
      expect(answer.headers).toMatchObject({
        'content-type': expect.stringMatching(/^application\/problem\+json/),
        'retry-after': '12',
        ratelimit: '"login";r=0;t=12',
        'ratelimit-policy': '"login";q=5;w=60',
      });
    }
    const ids = answers.slice(0, 5).map(({ headers }) => headers['x-request-id']);
    const rows = await query<{ address: string }>(
      `select address from audit.log where request_id = any($1)
       union all select address from events.outbox where request_id = any($1)`,
      [ids],
    );
    expect([...new Set(rows.map(({ address }) => address))]).toEqual([from]);
  });

  test('a burst beyond the API limit is refused with every header of a limit', async () => {
    const client = visitor({ patient: false });
    const answers = await Promise.all(Array.from({ length: 60 }, () => client.get('/api/permissions')));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(5);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(41);
    expect(refused[0]?.headers).toMatchObject({
      'retry-after': '1',
      ratelimit: '"api";r=0;t=1',
      'x-ratelimit-limit': '10',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '1',
    });
    expect(refused[0]?.body).toMatchObject({ code: 'rate_limited', status: 429 });
  });
});

describe('S108, S109: what is public is exact, and nothing operational is', () => {
  test.each([
    '/metrics',
    '/livez',
    '/readyz',
    '/health/detail',
    '/nginx_status',
    '/docs',
    '/openapi.json',
    '/.env',
    '/.env.production',
    '/.git/config',
    '/package.json',
    '/internal/jwks',
    '/api/internal/jwks',
    '/internal/sessions/0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f607',
    '/server-status',
    '/favicon.ico.map',
    '/api/metrics',
    '/api/auth/../metrics',
    '/health/../api/orgs',
    '/api/admin/audit/health',
    '/api/admin/health',
    '/admin/',
    '/admin/queues',
    '/admin/queues/',
    '/admin/queues/api/queues',
    '/api/admin/audit?x=/health',
    '/api/orgs;/api/permissions',
    '/api/permissions/x',
    '/.well-known/jwks.json/x',
  ])('%s is not for strangers', async (path) => {
    const answer = await visitor().get(path);
    expect(REFUSED).toContain(answer.status);
    expect(answer.text).not.toMatch(/http_requests_total|uptime|"checks"|BullMQ|PASSWORD/i);
  });

  test('the queue board is for platform admins alone', async () => {
    const board = '/admin/queues/';
    expect((await acme.people.owner.client.get(board)).status).toBe(403);
    const admin = (await platformAdmin()).client;
    expect((await admin.get(board)).status).toBe(200);
    // A page of another site must not press its buttons.
    const pressed = await admin.send({
      method: 'PUT',
      path: '/admin/queues/api/queues/mail/pause',
      headers: { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' },
    });
    expect([403, 404, 405]).toContain(pressed.status);
  });

  test('operators’ ports answer on loopback only and not through nginx', async () => {
    const { settings } = house();
    const direct = await plain(`http://127.0.0.1:${settings['GATEWAY_OPS_PORT']}/metrics`);
    expect(direct.status).toBe(200);
    expect((await visitor().get('/metrics')).status).toBe(404);
  });
});

describe('S101, S106: methods and hosts', () => {
  test.each(['TRACE', 'PROPFIND', 'get'])('%s is refused', async (method) => {
    expect([400, 405]).toContain((await raw(`${method} /api/permissions HTTP/1.1\r\nHost: localhost\r\n\r\n`)).status);
  });

  test.each([
    ['another host', 'Host: evil.test\r\n', [400, 421]],
    ['a longer host', 'Host: localhost.evil.test\r\n', [400, 421]],
    ['a trailing dot', 'Host: localhost.\r\n', [400, 421]],
    ['no host', '', [400]],
    ['two hosts', 'Host: localhost\r\nHost: evil.test\r\n', [400]],
  ])('%s is refused', async (_, hosts, statuses) => {
    const answer = await raw(`GET /api/permissions HTTP/1.1\r\n${hosts}Connection: close\r\n\r\n`);
    expect(statuses).toContain(answer.status);
  });

  test.each([
    ['both framings', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd'],
    ['a length with a sign', 'Content-Length: +4\r\n\r\nabcd'],
    ['an odd coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ])('S102: %s is refused', async (_, rest) => {
    const answer = await raw(`POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\n${rest}`);
    expect(answer.status).toBe(400);
  });
});

describe('S112: transport', () => {
  test('a path with an ending is another path', async () => {
    for (const path of ['/api/auth/me/x.css', '/api/auth/me;x.js', '/api/auth/me%3bx.js'])
      expect([400, 404]).toContain((await acme.people.viewer.client.get(path)).status);
  });

  test.each(['TLSv1', 'TLSv1.1'] as const)('%s is refused', async (version) => {
    await expect(handshake({ minVersion: version, maxVersion: version })).rejects.toThrow();
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s is spoken', async (version) => {
    expect(await handshake({ minVersion: version, maxVersion: version })).toBe(version);
  });

  test('plain HTTP redirects a page, and takes no body that would be sent a second time', async () => {
    const page = await plain(`${house().httpUrl}/api/permissions?x=1`);
    expect(page).toMatchObject({ status: 301, headers: { location: `${house().url}/api/permissions?x=1` } });
    const post = await plain(`${house().httpUrl}/api/auth/login`, { method: 'POST', body: {} });
    expect(post.status).toBe(400);
    expect(post.headers.location).toBeUndefined();
  });
});

function handshake(options: {
  minVersion: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  maxVersion: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
}) {
  const port = Number(new URL(house().url).port);
  return new Promise<string | null>((resolve, reject) => {
    // The test is of the server: our own library would refuse the old versions by itself.
    const ciphers = options.maxVersion < 'TLSv1.2' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {};
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca: readFileSync(house().ca),
      ...options,
      ...ciphers,
    });
    socket.once('secureConnect', () => {
      resolve(socket.getProtocol());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

/** Sends bytes as they stand over TLS; resolves with the status of the first answer. */
function raw(bytes: string): Promise<{ status: number; text: string }> {
  const port = Number(new URL(house().url).port);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca: readFileSync(house().ca),
      localAddress: freshAddress(),
    } as never);
    let text = '';
    const done = () => {
      socket.destroy();
      resolve({ status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0), text });
    };
    socket.setTimeout(3000, done);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (/^HTTP\/1\.[01] \d{3}/.test(text)) done();
    });
    socket.once('end', done).once('error', reject);
    socket.write(bytes);
  });
}
