import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type DarkAddress, takeAsDark } from '@gatehouse/testkit/dark-address';
import { freePort } from '@gatehouse/testkit/process';
import { afterEach, expect, test } from '@jest/globals';
import { type Edge, startEdge } from './test-edge.ts';

let edge: Edge;
const children: ChildProcess[] = [];
const darkened: DarkAddress[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const address of darkened.splice(0)) address.end();
  await edge.stop();
});

// Says which request it has received before it answers, so that it is known to the test even if it dies.
const GATEWAY = `
  const { writeSync } = require('node:fs');
  require('node:http').createServer({ keepAliveTimeout: 65000 }, (req, res) => {
    req.resume().on('end', () => {
      writeSync(1, req.headers['x-marker'] + '\\n');
      setTimeout(() => res.end('other'), 5);
    });
  }).listen(+process.argv[1], '127.0.0.1', () => writeSync(1, 'up\\n'));`;

async function startGateway(port: number): Promise<{ child: ChildProcess; received: string[] }> {
  const child = spawn(process.execPath, ['-e', GATEWAY, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const received: string[] = [];
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  await once(lines, 'line');
  lines.on('line', (line) => received.push(line));
  return { child, received };
}

interface Entry {
  id: string;
  method: string;
  status: number;
  sentAt: number;
  ms: number;
}

test('F05 of two gateways one is killed and its address goes dark: only POSTs under way on it fail, none runs twice', async () => {
  edge = await startEdge();
  const port = await freePort();
  const { child, received } = await startGateway(port);
  await edge.nginx.useGateways([`127.0.0.1:${edge.upstreamPort}`, `127.0.0.1:${port}`]);
  const ledger: Entry[] = [];
  let stopped = false;
  const clients = Array.from({ length: 16 }, async (_, client) => {
    const agent = new Agent({ ca: edge.ca, keepAlive: true, maxSockets: 1, servername: 'localhost' });
    for (let round = 0; !stopped; round++) {
      const id = `${client}-${round}`;
      const method = client % 2 ? 'POST' : 'GET';
      const sentAt = performance.now();
      const send = method === 'POST' ? { method, body: '{}' } : {};
      const { status } = await edge.send('/api/x', { ...send, headers: { 'x-marker': id }, agent });
      ledger.push({ id, method, status, sentAt, ms: performance.now() - sentAt });
      await delay(2);
    }
    agent.destroy();
  });
  await delay(500);

  child.kill('SIGKILL');
  await once(child, 'exit');
  const killedAt = performance.now();
  const reachedTheOther = received.length;
  await delay(1_000);
  darkened.push(await takeAsDark(port));
  const darkAt = performance.now();
  // Three connects time out, the address rests, and is tried and found dark once more.
  await delay(6_500);
  stopped = true;
  await Promise.all(clients);

  const failed = ledger.filter(({ status }) => status !== 200);
  const dark = ledger.filter(({ sentAt }) => sentAt > darkAt);
  const slow = dark.filter(({ ms }) => ms > 1_000);
  process.stdout.write(
    `  F05: ${ledger.length} answers, ${failed.length} failed (${failed.map(({ method }) => method)}), ` +
      `${slow.length} of ${dark.length} waited for the dark address\n`,
  );
  expect(reachedTheOther).toBeGreaterThan(50);
  expect(failed.filter(({ method, sentAt }) => method !== 'POST' || sentAt > killedAt)).toEqual([]);
  expect(failed.length).toBeLessThanOrEqual(8);
  // The address was met while it was dark, and those who met it got their answer from the other one.
  expect(slow.length).toBeGreaterThan(0);
  expect(slow.length).toBeLessThan(24);
  expect(Math.max(...dark.map(({ ms }) => ms))).toBeLessThan(3_500);
  const posts = [
    ...edge.captured.filter(({ method }) => method === 'POST').map(({ headers }) => headers['x-marker']),
    ...received.filter((id) => Number(id.split('-')[0]) % 2),
  ];
  expect(posts.filter((id, index) => posts.indexOf(id) !== index)).toEqual([]);
}, 30_000);
