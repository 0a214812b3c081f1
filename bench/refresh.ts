import { client } from '@gatehouse/testkit/server';
import { Pool } from 'undici';
import { type House, OWNER } from './house.ts';
import { type LoadResult, quantile } from './load.ts';
import { atLeast, type Line } from './report.ts';
import { figure, interleave, served } from './rounds.ts';

const ROUNDS = 5;
const CONNECTIONS = 32;
const SECONDS = 3;

/**
 * Token refreshes against authenticated reads, by the requests that a CPU-second of auth serves. Both are sent by the
 * same loader: each connection refreshes a session of its own, with the token that the answer before gave it.
 */
export async function measureRefresh(house: House): Promise<Line[]> {
  const auth = house.platform.process('auth');
  const tokens: string[] = [];
  for (let line = 0; line < CONNECTIONS; line++) tokens.push(await newToken(house));
  const pid = auth.pid() ?? 0;
  const rounds = await interleave(
    ROUNDS,
    () => served(pid, () => turn(auth.url, (pool, line) => refreshOnce(house, pool, tokens, line))),
    () => served(pid, () => turn(auth.url, (pool) => readOnce(house, pool))),
  );
  const ratio = figure(rounds.map(({ subject, baseline }) => subject.perCpuSecond / baseline.perCpuSecond));
  const perSecond = Math.round(
    quantile(
      rounds.map(({ subject }) => subject.requests / subject.seconds),
      0.5,
    ),
  );
  const what = 'token refresh: requests/CPU-s of auth, of an authenticated read (GET /api/auth/me)';
  return [atLeast(what, ratio, 0.6, `: ${perSecond} refreshes a second`)];
}

async function newToken({ platform }: House): Promise<string> {
  const { status, body } = await client(platform.process('gateway').url).post('/api/auth/login', OWNER);
  if (status !== 200) throw new Error(`no session to refresh: ${JSON.stringify(body)}`);
  return body.refresh_token;
}

/** The same loop on every connection for some seconds. */
async function turn(url: string, once: (pool: Pool, line: number) => Promise<number>): Promise<LoadResult> {
  const pool = new Pool(url, { connections: CONNECTIONS, pipelining: 1 });
  const times: number[] = [];
  let failures = 0;
  const start = performance.now();
  const work = async (line: number) => {
    for (let now = start; now < start + SECONDS * 1000; ) {
      if ((await once(pool, line)) !== 200) failures += 1;
      const then = now;
      now = performance.now();
      times.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, line) => work(line)));
  const seconds = (performance.now() - start) / 1000;
  await pool.close();
  return { requests: times.length, failures, seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

// The gateway mints one identity for all that is anonymous, and one for a session; so do we.
const identities = new Map<string, { headers: Record<string, string>; until: number }>();
function headersFor(house: House, who: 'owner' | 'anonymous'): Record<string, string> {
  const known = identities.get(who);
  if (known && known.until > Date.now()) return known.headers;
  const headers = house.identityFor('auth', who);
  identities.set(who, { headers, until: Date.now() + 30_000 });
  return headers;
}

async function refreshOnce(house: House, pool: Pool, tokens: string[], line: number): Promise<number> {
  const { statusCode, body } = await pool.request({
    path: '/api/auth/refresh',
    method: 'POST',
    headers: { ...headersFor(house, 'anonymous'), 'content-type': 'application/json' },
    body: JSON.stringify({ refresh_token: tokens[line] }),
  });
  const answer = (await body.json()) as { refresh_token: string };
  tokens[line] = answer.refresh_token;
  return statusCode;
}

async function readOnce(house: House, pool: Pool): Promise<number> {
  const headers = headersFor(house, 'owner');
  const { statusCode, body } = await pool.request({ path: '/api/auth/me', method: 'GET', headers });
  await body.json();
  return statusCode;
}
