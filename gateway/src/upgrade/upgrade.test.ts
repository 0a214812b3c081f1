import { once } from 'node:events';
import { eventually } from '@gatehouse/testkit/eventually';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { type Captured, type House, identityIn, rawRequest, testHouse } from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let echo: WebSocketServer;
const seen: Captured[] = [];

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start({ settings: { UPGRADES_MAX: '3' } });
  echo = new WebSocketServer({ server: house.upstream.server });
  echo.on('connection', (socket, req) => {
    seen.push({ method: 'GET', url: req.url ?? '', rawHeaders: req.rawHeaders, headers: req.headers, body: '' });
    socket.on('message', (data: RawData, isBinary) => socket.send(data, { binary: isBinary }));
  });
  echo.on('headers', (headers) => headers.push('gatehouse-evil: x', 'server: evil', 'x-own: yes'));
});
afterAll(async () => {
  for (const socket of echo.clients) socket.terminate();
  echo.close();
  await house.close();
});

const dial = (path: string, headers: Record<string, string> = {}) =>
  new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, { headers });

/** The status with which a handshake was refused. */
async function refusal(socket: WebSocket): Promise<number> {
  socket.on('error', () => undefined);
  const [, answer] = await once(socket, 'unexpected-response');
  return answer.statusCode;
}

describe('a WebSocket', () => {
  test('to an upstream goes through the same gate and carries the identity', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org });
    const socket = dial('/api/proxy/example/chat?room=1', {
      ...user.headers,
      'x-org-id': org,
      'x-user-id': 'evil',
      cookie: 'a=evil',
    });
    const [[answer]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'open')]);

    socket.send('hello');
    const [text] = await once(socket, 'message');
    socket.send(Buffer.alloc(200_000, 7));
    const [binary] = await once(socket, 'message');

    expect(String(text)).toBe('hello');
    expect((binary as Buffer).length).toBe(200_000);
    const received = seen.at(-1);
    expect(received?.url).toBe('/chat?room=1');
    expect(identityIn(received, 'example')).toMatchObject({ sub: user.user_id, org: { id: org } });
    expect(received?.rawHeaders.join('\n')).not.toContain('evil');
    expect(received?.headers.authorization).toBeUndefined();
    expect(answer.headers).toMatchObject({ 'x-own': 'yes', 'x-request-id': expect.any(String) });
    expect(answer.headers).not.toHaveProperty('gatehouse-evil');
    expect(answer.headers.server).toBeUndefined();
    socket.close();
    await once(socket, 'close');
    await eventually(async () => (await gateway.metrics()).includes('gateway_open_upgrades 0'));
  });

  test('is refused without a credential, without an organization, to a service, and from a foreign page', async () => {
    const user = house.user();
    const before = seen.length;
    const statuses = await Promise.all([
      refusal(dial('/api/standalone/example/x')),
      refusal(dial('/api/standalone/example/x?access_token=x', { authorization: 'Bearer nonsense' })),
      refusal(dial('/api/proxy/example/x', user.headers)),
      refusal(dial('/api/auth/me', user.headers)),
      refusal(dial('/api/standalone/nobody/x', user.headers)),
      refusal(dial('/api/standalone/example/x', { ...user.headers, origin: 'https://evil.test' })),
      refusal(dial('/health', user.headers)),
    ]);

    expect(statuses).toEqual([401, 401, 400, 404, 404, 403, 404]);
    expect(seen.length).toBe(before);
  });

  test('an upgrade to anything else is refused', async () => {
    const answer = await rawRequest(
      gateway.port,
      'GET /api/standalone/example/x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  });

  test('S031 is closed within two seconds when its session ends, and others stay open', async () => {
    const [one, two] = [house.user(), house.user()];
    const [dies, stays] = [
      dial('/api/standalone/example/x', one.headers),
      dial('/api/standalone/example/x', two.headers),
    ];
    await Promise.all([once(dies, 'open'), once(stays, 'open')]);
    dies.on('error', () => undefined);

    house.owned.sessions.set(one.session_id, {
      ...one,
      active: false,
      role: 'user',
      second_factor_required: false,
    });
    const start = performance.now();
    await once(dies, 'close');

    expect(performance.now() - start).toBeLessThan(2_500);
    expect(stays.readyState).toBe(WebSocket.OPEN);
    await eventually(() => house.upstream.connections() === 1);
    stays.terminate();
  });

  test('S090 of a key ends with the key, and a key has no other way in than by its rules', async () => {
    const org = house.organization();
    const chat = { method: 'GET', path: '/api/proxy/example/chat' };
    const key = house.apiKey(org, { rules: [chat] });
    const socket = dial('/api/proxy/example/chat', key.headers);
    await once(socket, 'open');
    socket.on('error', () => undefined);
    expect(await refusal(dial('/api/proxy/example/other', key.headers))).toBe(403);

    house.owned.keys.set(key.hash, { ...key.fact, active: false });
    const start = performance.now();
    await once(socket, 'close');
    expect(performance.now() - start).toBeLessThan(2_500);
    expect(await refusal(dial('/api/proxy/example/chat', key.headers))).toBe(401);
  });

  test('obeys the policies of its organization, also those that are set while it is open', async () => {
    const org = house.organization();
    const [single, double] = [house.user({ org_id: org }), house.user({ org_id: org, amr: ['pwd', 'otp', 'mfa'] })];
    const open = ({ headers }: typeof single) => dial('/api/proxy/example/x', { ...headers, 'x-org-id': org });
    const [closes, stays] = [open(single), open(double)];
    await Promise.all([once(closes, 'open'), once(stays, 'open')]);
    closes.on('error', () => undefined);

    house.organization({ id: org, second_factor_required: true, session_max_seconds: 3600 });
    const start = performance.now();
    await once(closes, 'close');

    expect(performance.now() - start).toBeLessThan(2_500);
    expect(stays.readyState).toBe(WebSocket.OPEN);
    expect(await refusal(open(single))).toBe(403);
    house.organization({ id: org, session_max_seconds: 1 });
    const old = house.user({ org_id: org, auth_time: Math.floor(Date.now() / 1000) - 60 });
    await eventually(async () => (await refusal(open(old))) === 403);
    stays.terminate();
  });

  test('is one of a bounded number', async () => {
    const user = house.user();
    await eventually(async () => (await gateway.metrics()).includes('gateway_open_upgrades 0'));
    const open = Array.from({ length: 3 }, () => dial('/api/standalone/example/x', user.headers));
    await Promise.all(open.map((socket) => once(socket, 'open')));

    expect(await refusal(dial('/api/standalone/example/x', user.headers))).toBe(503);
    for (const socket of open) socket.terminate();
    await eventually(async () => (await gateway.metrics()).includes('gateway_open_upgrades 0'));
  });

  test('ends with the gateway, and an upstream that is down is a 502', async () => {
    const other = await house.start({
      settings: { UPSTREAMS: `example=${house.upstream.url},down=http://127.0.0.1:1` },
    });
    const user = house.user();
    const socket = new WebSocket(`ws://127.0.0.1:${other.port}/api/standalone/example/x`, { headers: user.headers });
    await once(socket, 'open');
    const down = new WebSocket(`ws://127.0.0.1:${other.port}/api/standalone/down/x`, { headers: user.headers });
    expect(await refusal(down)).toBe(502);

    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    await other.stop();
    await closed;
    expect((await client(gateway.url).get('/health')).status).toBe(200);
  });
});
