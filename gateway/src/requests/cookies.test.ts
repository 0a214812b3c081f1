import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { type CaptureServer, type House, rawRequest, testHouse } from '../testing.ts';
import { ownCookies, setsOwnCookie } from './cookies.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;
let echoes: [CaptureServer, CaptureServer['answer']][];

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
  echoes = [house.upstream, house.auth, house.org].map((server) => [server, server.answer]);
});
afterEach(() => {
  for (const [server, answer] of echoes) server.answer = answer;
});
afterAll(() => house.close());

const OURS = '__Host-gatehouse_refresh=ghr_abc; __Host-gatehouse_device=x.y_z-1';

test('S043 our cookies reach auth, and others no one', async () => {
  await api.post('/api/auth/refresh', {}, { cookie: `session=evil; ${OURS}; __Host-other=evil` });
  expect(house.auth.requests.at(-1)?.headers.cookie).toBe(OURS);

  await api.post('/api/auth/login', {}, { cookie: 'session=evil; gatehouse_refresh=evil' });
  expect(house.auth.requests.at(-1)?.headers).not.toHaveProperty('cookie');

  const user = house.user();
  await api.get('/api/orgs', { ...user.headers, cookie: OURS });
  expect(house.org.requests.at(-1)?.headers).not.toHaveProperty('cookie');
  for (const path of ['/api/standalone/example/x', '/api/standalone/example/api/auth/refresh']) {
    await api.get(path, { ...user.headers, cookie: OURS });
    expect(JSON.stringify(house.upstream.requests.at(-1)?.rawHeaders)).not.toMatch(/cookie|gatehouse_/i);
  }
});

test('our cookies pass when a client splits them, and cannot be listed away or smuggled in', async () => {
  const send = (...lines: string[]) =>
    rawRequest(
      gateway.port,
      `POST /api/auth/refresh HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n${lines.join('\r\n')}\r\n\r\n{}`,
    );
  await send('connection: close', 'cookie: a=1; __Host-gatehouse_device=d', 'Cookie: __Host-gatehouse_refresh=r');
  expect(house.auth.requests.at(-1)?.headers.cookie).toBe('__Host-gatehouse_device=d; __Host-gatehouse_refresh=r');

  await send('connection: close, cookie', 'cookie: __Host-gatehouse_refresh=r');
  expect(house.auth.requests.at(-1)?.headers.cookie).toBe('__Host-gatehouse_refresh=r');
});

test.each([
  ['', undefined],
  ['a=1', undefined],
  ['__host-gatehouse_refresh=r', undefined],
  ['x__Host-gatehouse_refresh=r', undefined],
  ['a=__Host-gatehouse_refresh=r', undefined],
  ['__Host-gatehouse_refresh="r"', undefined],
  ['__Host-gatehouse_refresh=r,s', undefined],
  ['__Host-gatehouse_refresh', undefined],
  ['__Host-gatehouse_=r', undefined],
  ['__Host-gatehouse_refresh=', '__Host-gatehouse_refresh='],
  [' __Host-gatehouse_refresh=r ;a=1;', '__Host-gatehouse_refresh=r'],
  // Both pass: which of two counts is for auth to refuse.
  ['__Host-gatehouse_device=1;__Host-gatehouse_device=2', '__Host-gatehouse_device=1; __Host-gatehouse_device=2'],
])('of “%s” passes %s', (header, own) => expect(ownCookies(header)).toBe(own));

test('S043 only auth sets our cookies; other cookies of an upstream pass', async () => {
  const attempts = [
    '__Host-gatehouse_refresh=evil; Path=/; Secure',
    '__host-Gatehouse_refresh=evil',
    '  __Host-gatehouse_device=evil',
    '=__Host-gatehouse_refresh=evil',
    ' = __Host-gatehouse_refresh=evil',
  ];
  const answer: CaptureServer['answer'] = (_req, res) =>
    void res.writeHead(200, { 'set-cookie': [...attempts, 'theirs=1; Path=/'] }).end('{}');
  house.upstream.answer = answer;
  house.org.answer = answer;
  const user = house.user();
  for (const path of ['/api/standalone/example/x', '/api/orgs'])
    expect((await api.get(path, user.headers)).headers.getSetCookie()).toEqual(['theirs=1; Path=/']);

  house.upstream.answer = (_req, res) => void res.writeHead(200, { 'set-cookie': attempts[0] as string }).end('{}');
  expect((await api.get('/api/standalone/example/x', user.headers)).headers.getSetCookie()).toEqual([]);

  house.auth.answer = (_req, res) =>
    void res.writeHead(200, { 'set-cookie': [attempts[0] as string, 'b=2'] }).end('{}');
  expect((await api.post('/api/auth/login', {})).headers.getSetCookie()).toEqual([attempts[0], 'b=2']);
});

test('what a browser would take for ours is ours', () => {
  for (const value of ['\t__HOST-GATEHOUSE_x=1', '==__Host-gatehouse_x']) expect(setsOwnCookie(value)).toBe(true);
  for (const value of ['a=__Host-gatehouse_refresh=1', 'gatehouse_x=1', '']) expect(setsOwnCookie(value)).toBe(false);
});

test('S044 a page of a named origin may hold a session in a cookie, and no other', async () => {
  const named = await api.post('/api/auth/refresh', {}, { origin: 'https://app.example.test' });
  expect(named.headers.get('access-control-allow-origin')).toBe('https://app.example.test');
  expect(named.headers.get('access-control-allow-credentials')).toBe('true');
  expect(house.auth.requests.at(-1)?.headers['origin']).toBe('https://app.example.test');

  await api.post('/api/auth/refresh', {}, { origin: 'https://app.example.test', 'x-requested-with': 'gatehouse' });
  expect(house.auth.requests.at(-1)?.headers['x-requested-with']).toBe('gatehouse');

  const before = house.auth.requests.length;
  for (const origin of [
    'https://evil.test',
    'null',
    'https://app.example.test.evil.test',
    'https://appXexample.test',
  ]) {
    const foreign = await api.post('/api/auth/refresh', {}, { origin, cookie: OURS });
    expect([origin, foreign.status]).toEqual([origin, 403]);
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    expect(foreign.headers.get('access-control-allow-credentials')).toBeNull();
    const read = await api.get('/api/permissions', { origin });
    expect(read.headers.get('access-control-allow-credentials')).toBeNull();
  }
  const crossSite = await api.post('/api/auth/refresh', {}, { 'sec-fetch-site': 'cross-site', cookie: OURS });
  expect(crossSite.status).toBe(403);
  expect(house.auth.requests.length).toBe(before);
});
