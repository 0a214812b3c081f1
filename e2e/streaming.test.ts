import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { closeVisitors, freshAddress, house } from './house/house.ts';
import { type Company, company, hire, newKey } from './house/people.ts';
import { until } from './house/wait.ts';

// 20 MB in all.
const BLOCKS = 320;

// The upstream `own` of the run is this file.
let upstream: Server;
let sockets: WebSocketServer;
let acme: Company;
const seen: { aborted: number; upgradeHeaders: IncomingMessage['headers'][] } = { aborted: 0, upgradeHeaders: [] };

beforeAll(async () => {
  upstream = createServer(answer);
  sockets = new WebSocketServer({ server: upstream, path: '/socket' });
  sockets.on('connection', (socket, req) => {
    seen.upgradeHeaders.push(req.headers);
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  upstream.listen(house().ownPort, '127.0.0.1');
  await once(upstream, 'listening');
  acme = await company(['owner']);
}, 60_000);
afterAll(async () => {
  for (const socket of sockets.clients) socket.terminate();
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
  closeVisitors();
});

function answer(req: IncomingMessage, res: ServerResponse): void {
  res.once('close', () => {
    if (!res.writableFinished) seen.aborted += 1;
  });
  if (req.url === '/events') {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    let count = 0;
    const timer = setInterval(() => res.write(`id: ${count}\ndata: tick ${count++}\n\n`), 50);
    res.once('close', () => clearInterval(timer));
  } else if (req.url === '/echo') {
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    req.pipe(res);
  } else if (req.url === '/digest') {
    const digest = createHash('sha256');
    req.on('data', (chunk: Buffer) => digest.update(chunk));
    req.once('end', () => res.writeHead(200).end(digest.digest('hex')));
  } else if (req.url === '/blocks') {
    res.writeHead(200);
    Readable.from(
      Array.from({ length: BLOCKS }, () => Buffer.alloc(64 * 1024, 'x')),
      { objectMode: false },
    ).pipe(res);
  } else res.writeHead(404).end();
}

const headers = (token = acme.people.owner.client.token) => ({
  authorization: `Bearer ${token}`,
  'x-org-id': acme.id,
});

function open(method: string, path: string, token?: string) {
  const { url, ca } = house();
  const { hostname, port } = new URL(url);
  const agent = new Agent({ ca: readFileSync(ca), localAddress: freshAddress(), family: 4 });
  return request({ agent, hostname, port, method, path, headers: headers(token) });
}

function socketTo(path: string, extra: Record<string, string>): WebSocket {
  const { url, ca } = house();
  return new WebSocket(`${url.replace('https', 'wss')}${path}`, { ca: readFileSync(ca), headers: extra, family: 4 });
}

test('server-sent events arrive one by one while the stream is open, and end upstream when the client leaves', async () => {
  const before = seen.aborted;
  const req = open('GET', '/api/proxy/own/events');
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  expect(res.statusCode).toBe(200);
  expect(res.headers['content-type']).toBe('text/event-stream');

  const arrivals: string[] = [];
  for await (const chunk of res) {
    arrivals.push(String(chunk));
    if (arrivals.length === 3) break;
  }
  // Nobody on the way collected them.
  expect(arrivals.every((chunk) => chunk.length < 100)).toBe(true);
  req.destroy();
  await until(
    'the upstream notices that the client left',
    3000,
    () => seen.aborted,
    (aborted) => aborted > before,
  );
  expect(arrivals[0]).toContain('data: tick 0');
});

test('a body streams both ways: what is sent comes back before the sending ends', async () => {
  const req = open('POST', '/api/proxy/own/echo');
  req.write('first');
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const [chunk] = await once(res, 'data');
  expect(String(chunk)).toBe('first');
  req.end('last');
  const [rest] = await once(res, 'data');
  expect(String(rest)).toBe('last');
  res.resume();
});

test('twenty megabytes pass whole, up and down, at the pace of who reads', async () => {
  const block = randomBytes(64 * 1024);
  const wanted = createHash('sha256');
  for (let i = 0; i < BLOCKS; i++) wanted.update(block);
  const digest = wanted.digest('hex');

  const up = open('POST', '/api/proxy/own/digest');
  const answered = once(up, 'response');
  for (let i = 0; i < BLOCKS; i++) if (!up.write(block)) await once(up, 'drain');
  up.end();
  const [received] = (await answered) as [IncomingMessage];
  let text = '';
  for await (const chunk of received) text += chunk;
  expect(text).toBe(digest);

  const down = open('GET', '/api/proxy/own/blocks');
  down.end();
  const [sent] = (await once(down, 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const chunk of sent) bytes += (chunk as Buffer).length;
  expect(bytes).toBe(BLOCKS * 64 * 1024);
});

test('a WebSocket is opened with a token or a key, carries messages, and brings the identity', async () => {
  const key = await newKey(acme.people.owner, acme.id);
  for (const credential of [acme.people.owner.client.token, key.key]) {
    const socket = socketTo('/api/proxy/own/socket', headers(credential));
    await once(socket, 'open');
    const echoed = once(socket, 'message');
    socket.send('hello');
    expect(String((await echoed)[0])).toBe('hello');
    socket.close();
    await once(socket, 'close');
  }
  for (const upgradeHeaders of seen.upgradeHeaders) {
    expect(upgradeHeaders['gatehouse-identity']).toMatch(/^eyJ/);
    expect(upgradeHeaders.authorization).toBeUndefined();
  }
});

test.each([
  ['no credential', {}, 401],
  ['a token that is none', { authorization: 'Bearer nonsense' }, 401],
])('a WebSocket with %s is refused', async (_, extra, status) => {
  const socket = socketTo('/api/proxy/own/socket', extra as Record<string, string>);
  const [, res] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  expect(res.statusCode).toBe(status);
  socket.on('error', () => undefined);
  socket.terminate();
});

test('services are not upgraded', async () => {
  const socket = socketTo('/api/orgs', headers());
  // An ordinary answer to an ordinary request: the wish to upgrade went no further than nginx.
  const [, res] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  expect(res.headers.upgrade).toBeUndefined();
  socket.on('error', () => undefined);
  socket.terminate();
});

test('an open WebSocket and an open stream end when the session does', async () => {
  const person = await hire(acme.id, 'viewer');
  const socket = socketTo('/api/proxy/own/socket', headers(person.client.token));
  await once(socket, 'open');
  const stream = open('GET', '/api/proxy/own/events', person.client.token);
  stream.end();
  const [res] = (await once(stream, 'response')) as [IncomingMessage];
  const ends = [once(socket, 'close'), new Promise((resolve) => res.once('close', resolve))];
  res.on('error', () => undefined).resume();

  expect((await person.client.post('/api/auth/logout')).status).toBe(204);
  const start = performance.now();
  await ends[0];
  expect(performance.now() - start).toBeLessThan(3000);
  // An answer is looked at as a stream from its third second on.
  await ends[1];
  expect(performance.now() - start).toBeLessThan(6000);
});
