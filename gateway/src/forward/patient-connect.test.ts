import { createServer, type Server } from 'node:http';
import { takeAsDark } from '@gatehouse/testkit/dark-address';
import { freePort } from '@gatehouse/testkit/process';
import { afterEach, expect, test } from '@jest/globals';
import { Pool } from 'undici';
import { createPatientConnector, PATIENCE_MS } from './patient-connect.ts';

const endings: (() => unknown)[] = [];
afterEach(() => Promise.all(endings.splice(0).map((end) => end())));

function listen(port: number, host = '127.0.0.1'): Promise<Server> {
  const server = createServer((req, res) => req.resume().on('end', () => res.end(host)));
  endings.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return new Promise((resolve) => server.listen(port, host, () => resolve(server)));
}

function pool(url: string, lookup?: Parameters<typeof createPatientConnector>[0]) {
  const connector = createPatientConnector(lookup);
  const made = new Pool(url, { connect: connector.connect, connections: 4 });
  endings.push(() => made.destroy());
  return { connector, post: () => made.request({ path: '/', method: 'POST', body: 'once' }) };
}

test('a service that is not there yet is waited for, and each request arrives once', async () => {
  const port = await freePort();
  const { connector, post } = pool(`http://127.0.0.1:${port}`);
  const sent = Array.from({ length: 40 }, post);
  let requests = 0;
  setTimeout(() => void listen(port).then((server) => server.on('request', () => requests++)), 800);

  const answers = await Promise.all(sent);

  expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(40).fill(200));
  expect(requests).toBe(40);
  expect(connector.troubled()).toBe(true);
});

test('one that restarts twice in a row is waited for twice', async () => {
  const port = await freePort();
  const { post } = pool(`http://127.0.0.1:${port}`);
  for (let restarts = 0; restarts < 2; restarts++) {
    const sent = post();
    setTimeout(() => void listen(port), 1_800);
    expect((await sent).statusCode).toBe(200);
    await Promise.all(endings.splice(1).map((end) => end()));
  }
}, 15_000);

test('one that stays away is given up for all at once, and then refused at once', async () => {
  const { post } = pool(`http://127.0.0.1:${await freePort()}`);
  const startedAt = performance.now();

  const first = await Promise.allSettled(Array.from({ length: 40 }, post));
  const waitedMs = performance.now() - startedAt;
  const again = await Promise.allSettled(Array.from({ length: 40 }, post));
  const refusedMs = performance.now() - startedAt - waitedMs;

  expect(new Set([...first, ...again].map(({ status }) => status))).toEqual(new Set(['rejected']));
  expect(waitedMs).toBeGreaterThan(PATIENCE_MS - 500);
  expect(waitedMs).toBeLessThan(PATIENCE_MS + 1_000);
  expect(refusedMs).toBeLessThan(300);
}, 15_000);

test('a name is asked for again each time, and of two addresses the one that answers serves', async () => {
  const port = await freePort();
  await listen(port, '127.0.0.3');
  let lookups = 0;
  const answers = [[], ['127.0.0.2'], ['127.0.0.2', '127.0.0.3']];
  const { post } = pool(`http://service.invalid:${port}`, {
    lookup: (_name, _options, callback) => {
      const addresses = answers[Math.min(lookups++, 2)] as string[];
      const gone = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      callback(
        addresses.length > 0 ? null : gone,
        addresses.map((address) => ({ address, family: 4 })),
      );
    },
  });

  const answer = await post();

  expect(await answer.body.text()).toBe('127.0.0.3');
  expect(lookups).toBe(3);
});

test('an address that went dark costs a moment, when the name leads elsewhere by then', async () => {
  const port = await freePort();
  await listen(port, '127.0.0.3');
  const dark = await takeAsDark(port, '127.0.0.4');
  endings.push(() => dark.end());
  let lookups = 0;
  const { post } = pool(`http://service.invalid:${port}`, {
    lookup: (_name, _options, callback) => {
      const address = lookups++ === 0 ? '127.0.0.4' : '127.0.0.3';
      callback(null, [{ address, family: 4 }]);
    },
  });
  const startedAt = performance.now();

  const answer = await post();

  expect(await answer.body.text()).toBe('127.0.0.3');
  expect(performance.now() - startedAt).toBeLessThan(1_500);
});

test('what may have been sent is not sent again', async () => {
  const server = await listen(0);
  let requests = 0;
  server.removeAllListeners('request').on('request', (req) => {
    requests += 1;
    req.socket.destroy();
  });
  const { post } = pool(`http://127.0.0.1:${(server.address() as { port: number }).port}`);

  await expect(post()).rejects.toThrow();
  expect(requests).toBe(1);
});
