import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { ensureCertificates } from '../dev/src/certificates.ts';
import { workersOf } from '../dev/src/nginx.ts';
import { type Edge, type EdgeOptions, startEdge } from './test-edge.ts';

let edge: Edge | undefined;
afterEach(() => edge?.stop());

function target(edge: Edge) {
  const headers = { host: 'localhost' };
  return {
    host: '127.0.0.1',
    port: edge.httpsPort,
    ca: edge.ca,
    servername: 'localhost',
    headers,
    agent: false as const,
  };
}

function servedSerial(edge: Edge): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: edge.httpsPort, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

async function start(options: EdgeOptions = {}): Promise<Edge> {
  edge = await startEdge(options);
  return edge;
}

describe('connections to the gateway', () => {
  // Guards the Connection header in each location: without it nginx opens a connection a request.
  test.each(['/api/x', '/v1/x', '/api/proxy/example/x', '/v1/standalone/example/x', '/health', '/admin/queues'])(
    'are held open for 500 requests to %s',
    async (path) => {
      const edge = await start({ settings: { workers: 1 } });
      const agent = new Agent({ ca: edge.ca, keepAlive: true, maxSockets: 4, servername: 'localhost' });

      await Promise.all(
        Array.from({ length: 4 }, async () => {
          for (let round = 0; round < 125; round++) await edge.send(path, { agent });
        }),
      );

      expect(edge.captured).toHaveLength(500);
      expect(edge.connections()).toBeLessThanOrEqual(4);
      agent.destroy();
    },
  );

  test('F10 an idle one is closed by nginx before the gateway would, so that no POST meets a closed connection', async () => {
    const edge = await start({ settings: { upstreamKeepalive: '500ms', workers: 1 } });
    const failed: number[] = [];
    for (const idleMs of [450, 490, 500, 510, 550]) {
      const answers = await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          await edge.send('/api/x', { method: 'POST', body: 'warm' });
          await delay(idleMs + (index % 10));
          return edge.send('/api/x', { method: 'POST', body: 'x' });
        }),
      );
      failed.push(...answers.map(({ status }) => status).filter((status) => status !== 200));
    }

    expect(failed).toEqual([]);
  });

  test('a request that may have been processed is not sent again', async () => {
    const edge = await start({ upstream: (req) => req.socket.destroy() });

    const answer = await edge.send('/api/x', { method: 'POST', body: 'once' });

    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({ status: 502, code: 'upstream.unavailable' });
    expect(edge.captured).toHaveLength(1);
  });
});

describe('streams', () => {
  test('an upstream’s events arrive one by one', async () => {
    let response: ServerResponse | undefined;
    const edge = await start({
      upstream: (_req, res) => {
        response = res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write('data: 1\n\n');
      },
    });

    const sent = request({ ...target(edge), path: '/api/proxy/example/events' });
    sent.end();
    const [answer] = await once(sent, 'response');
    const [first] = await once(answer, 'data');
    response?.write('data: 2\n\n');
    const [second] = await once(answer, 'data');

    expect(`${first}${second}`).toBe('data: 1\n\ndata: 2\n\n');
    sent.destroy();
  });

  test('a body reaches an upstream while it is still being sent', async () => {
    const arrived = Promise.withResolvers<string>();
    const edge = await start({
      onRequest: (req) => req.once('data', (chunk: Buffer) => arrived.resolve(String(chunk))),
    });
    const sent = request({ ...target(edge), path: '/api/proxy/x', method: 'POST' });
    const answered = once(sent, 'response');

    sent.write('first');
    expect(await arrived.promise).toBe('first');

    sent.end('second');
    const [answer] = await answered;
    expect(answer.resume().statusCode).toBe(200);
  });

  test('a WebSocket passes to upstreams and nowhere else', async () => {
    const edge = await start();
    const server = createServer((_req, res) => res.end('plain'));
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await edge.nginx.useGateways([`127.0.0.1:${(server.address() as { port: number }).port}`]);
    const { WebSocket } = await import('ws');
    const open = (path: string) =>
      new WebSocket(`wss://localhost:${edge.httpsPort}${path}`, { ca: edge.ca, headers: { host: 'localhost' } });

    const socket = open('/api/proxy/example/ws');
    await once(socket, 'open');
    socket.send('hello');
    const [message] = await once(socket, 'message');
    const [error] = await once(open('/api/orgs'), 'error');

    expect(String(message)).toBe('echo hello');
    expect(String(error)).toContain('200');
    socket.terminate();
    sockets.close();
    server.closeAllConnections();
    server.close();
  });

  test('no other protocol can be asked for', async () => {
    const edge = await start();

    await edge.raw(
      'GET /api/proxy/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n' +
        'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
    );

    const { headers } = edge.captured.at(-1) ?? {};
    expect(headers).not.toHaveProperty('upgrade');
    expect(headers).not.toHaveProperty('http2-settings');
    expect(headers?.connection).toBeUndefined();
  });

  test('upstreams take larger bodies than the API', async () => {
    const edge = await start();
    const send = async (path: string, bytes: number) =>
      (await edge.send(path, { method: 'POST', body: 'x'.repeat(bytes) })).status;

    expect(await send('/api/proxy/example/upload', 1_500_000)).toBe(200);
    expect(await send('/api/orgs', 1_500_000)).toBe(413);
    expect(await send('/api/proxy/example/upload', 2_500_000)).toBe(413);
  });
});

describe('what an upstream answers', () => {
  test('its own security headers stay; ours fill the gaps once', async () => {
    const own = { 'content-security-policy': "default-src 'self'", 'x-frame-options': 'DENY', 'x-powered-by': 'x' };
    const edge = await start({
      upstream: (_req, res) =>
        res
          .writeHead(200, { ...own, 'x-request-id': 'theirs', 'strict-transport-security': 'max-age=1', server: 'x' })
          .end(),
    });

    const { headers } = await edge.send('/api/proxy/example/x');

    expect(headers).toMatchObject({ 'content-security-policy': "default-src 'self'", 'x-frame-options': 'DENY' });
    expect(headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(headers['strict-transport-security']).toContain('max-age=63072000');
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers.server).toBe('nginx');
  });

  test('it cannot steer nginx to an internal path', async () => {
    const edge = await start({
      upstream: (_req, res) => res.writeHead(200, { 'x-accel-redirect': '/.error/500' }).end('mine'),
    });

    const answer = await edge.send('/api/proxy/example/x');

    expect(answer).toMatchObject({ status: 200, body: 'mine' });
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
  });

  test('only public documents are compressed', async () => {
    const json = JSON.stringify({ data: 'x'.repeat(5000) });
    const edge = await start({
      upstream: (_req, res) => res.writeHead(200, { 'content-type': 'application/json' }).end(json),
    });
    const headers = { 'accept-encoding': 'gzip' };

    expect((await edge.send('/api/openapi.json', { headers })).headers['content-encoding']).toBe('gzip');
    expect((await edge.send('/api/auth/me', { headers })).headers).not.toHaveProperty('content-encoding');
    expect((await edge.send('/api/proxy/example/x', { headers })).headers).not.toHaveProperty('content-encoding');
  });
});

describe('change under load', () => {
  test('F09 a reload with another certificate and gateway fails no request', async () => {
    const edge = await start();
    const other = createServer({ keepAliveTimeout: 65_000 }, (_req, res) => res.end('other'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const otherPort = (other.address() as { port: number }).port;
    // The certificate changes on the way, to one that this client does not know.
    const agent = new Agent({ rejectUnauthorized: false, keepAlive: false });
    const failures: string[] = [];
    let finished = false;
    let sent = 0;
    const clients = Array.from({ length: 8 }, async (_, index) => {
      for (; !finished; sent++) {
        const answer = await edge
          .send('/api/x', { method: index % 2 ? 'POST' : 'GET', body: 'x', agent })
          .catch(String);
        if (typeof answer === 'string' || answer.status !== 200) failures.push(JSON.stringify(answer));
      }
    });

    const serialBefore = await servedSerial(edge);
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-certificate-'));
    const fresh = await ensureCertificates(folder, ['localhost']);
    copyFileSync(fresh.key, edge.certificates.key);
    copyFileSync(fresh.certificate, edge.certificates.certificate);
    for (const port of [otherPort, edge.upstreamPort, otherPort]) {
      await edge.nginx.useGateways([`127.0.0.1:${port}`]);
      await delay(100);
    }
    finished = true;
    await Promise.all(clients);

    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(100);
    expect(await servedSerial(edge)).not.toBe(serialBefore);
    rmSync(folder, { recursive: true });
    other.closeAllConnections();
    other.close();
  });

  test('F05 a killed worker costs its own requests only', async () => {
    const edge = await start();
    const [victim = 0] = workersOf(edge.nginx.pid);

    process.kill(victim, 'SIGKILL');
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        edge.send('/api/x', { headers: { 'x-marker': String(index) } }).then(
          ({ body }) => JSON.parse(body).marker === String(index),
          () => undefined,
        ),
      ),
    );

    expect(answers).not.toContain(false);
    expect((await edge.send('/api/x')).status).toBe(200);
    expect(workersOf(edge.nginx.pid)).not.toContain(victim);
  });
});

test('a client that sends its headers too slowly is let go', async () => {
  const edge = await start({ settings: { clientTimeout: '1s' } });
  const socket = connect({ host: '127.0.0.1', port: edge.httpsPort, ca: edge.ca, servername: 'localhost' });
  await once(socket, 'secureConnect');
  const startedAt = performance.now();

  socket.write('GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
  socket.resume().on('error', () => undefined);
  await new Promise((resolve) => socket.once('close', resolve));

  expect(performance.now() - startedAt).toBeLessThan(3_000);
});

test('it runs as an ordinary user too', async () => {
  const runAs = process.getuid?.() === 0 ? { runAs: { uid: 65_534, gid: 65_534 } } : {};
  const edge = await start(runAs);

  const answer = await edge.send('/api/x', { method: 'POST', body: 'x'.repeat(500_000) });

  expect(answer.status).toBe(200);
  expect(edge.captured.at(-1)?.body).toHaveLength(500_000);
});
