import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { generate } from 'selfsigned';
import { type Http, openHttp } from './http.ts';

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
function opened(http: Http): Http {
  ends.push(() => http.close());
  return http;
}

test('a status is an answer, and connections are kept', async () => {
  let connections = 0;
  const server = createServer(async (req, res) => {
    let body = '';
    for await (const chunk of req) body += chunk;
    const { host, authorization } = req.headers;
    res.writeHead(418, { 'content-type': 'application/problem+json', 'x-request-id': 'r1' });
    res.end(JSON.stringify({ host, authorization, body }));
  }).on('connection', () => {
    connections += 1;
  });
  const http = opened(openHttp({ url: `http://${await listening(server)}`, host: 'api.example.com' }));
  for (let i = 0; i < 3; i++)
    expect(await http.send({ method: 'POST', path: '/x', body: { a: 1 }, token: 't' })).toMatchObject({
      status: 418,
      requestId: 'r1',
      body: { host: 'api.example.com', authorization: 'Bearer t', body: '{"a":1}' },
    });
  expect(connections).toBe(1);
});

test('one that does not answer in time, or not to the end, is an error', async () => {
  const silent = createServer((_req, res) => res.write('{'));
  const http = opened(openHttp({ url: `http://${await listening(silent)}`, timeoutMs: 100 }));
  await expect(http.send({ method: 'GET', path: '/x' })).rejects.toThrow(/GET http.*\/x: .*(100 ms|aborted)/);
});

test('with a fingerprint that certificate counts and no other, and nothing is sent to whoever shows another', async () => {
  const pems = await generate([{ name: 'commonName', value: 'api.example.com' }]);
  const seen: string[] = [];
  const server = createTlsServer({ key: pems.private, cert: pems.cert }, (req, res) => {
    seen.push(req.url ?? '');
    res.end('{}');
  });
  const url = `https://${await listening(server)}`;
  const { fingerprint256 } = new X509Certificate(pems.cert);
  const right = opened(openHttp({ url, host: 'api.example.com', fingerprint: fingerprint256 }));
  for (const path of ['/1', '/2']) expect((await right.send({ method: 'GET', path })).status).toBe(200);

  const wrong = opened(openHttp({ url, fingerprint: fingerprint256.replace(/^../, 'ZZ') }));
  await expect(wrong.send({ method: 'GET', path: '/3' })).rejects.toThrow(/another certificate is served/);
  const strict = opened(openHttp({ url }));
  await expect(strict.send({ method: 'GET', path: '/4' })).rejects.toThrow(/self.signed/);
  expect(seen).toEqual(['/1', '/2']);
});
