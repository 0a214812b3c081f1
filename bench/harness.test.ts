import { type Listening, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cpuSeconds, residentMiB } from './cpu.ts';
import { loadWithUndici, quantile } from './load.ts';
import { atLeast, atMost, table } from './report.ts';
import { figure, interleave } from './rounds.ts';

let server: Listening;
beforeAll(async () => {
  server = await listen((req, res) => res.writeHead(req.url === '/' ? 200 : 500).end());
});
afterAll(() => server.close());

test('load counts what is answered and what is refused', async () => {
  const options = { connections: 2, seconds: 0.05 };
  const good = await loadWithUndici({ url: `${server.url}/`, ...options });
  const bad = await loadWithUndici({ url: `${server.url}/x`, ...options });

  expect(good.requests).toBeGreaterThan(0);
  expect(good.failures).toBe(0);
  expect(good.p50Ms).toBeLessThanOrEqual(good.p99Ms);
  expect(bad.failures).toBe(bad.requests);
});

test('the CPU time of a process grows when it works', () => {
  const before = cpuSeconds(process.pid);
  const end = Date.now() + 1_000;
  let spent = 0;
  // Counted in ticks of 10 ms, so it works until two of them have passed.
  while (spent < 0.02 && Date.now() < end) spent = cpuSeconds(process.pid) - before;

  expect(spent).toBeGreaterThanOrEqual(0.02);
  expect(residentMiB(process.pid)).toBeGreaterThan(10);
});

test('subject and baseline take turns, and the first turn of each does not count', async () => {
  const order: string[] = [];
  let turn = 0;
  const run = (name: string) => async () => {
    order.push(name);
    return ++turn;
  };
  const rounds = await interleave(2, run('A'), run('B'));

  expect(order.join('')).toBe('ABABAB');
  expect(rounds).toEqual([
    { subject: 3, baseline: 4 },
    { subject: 5, baseline: 6 },
  ]);
});

test('a limit is judged by the median, and a missed one is named', () => {
  const ratio = figure([0.2, 0.6, 0.5]);
  const lines = [atLeast('reached', ratio, 0.5), atMost('missed', ratio, 0.4)];

  expect(ratio).toEqual({ median: 0.5, low: 0.2, high: 0.6 });
  expect(quantile([1, 2, 3, 4], 0.99)).toBe(4);
  expect(table(lines).split('\n')).toEqual([
    'reached  0.50 (0.20 to 0.60)  >= 0.50  pass',
    'missed   0.50 (0.20 to 0.60)  <= 0.4   FAIL',
  ]);
});
