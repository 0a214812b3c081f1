import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';

export interface LoadOptions {
  url: string;
  headers?: Record<string, string>;
  connections: number;
  seconds: number;
  /** Instead of one and the same: a file with a token and an organization in each line, and the line to begin at. */
  members?: { file: string; first: number };
}

export interface LoadResult {
  requests: number;
  /** Answers other than 2xx, and requests without an answer. */
  failures: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
}

const REPORT = fileURLToPath(new URL('./wrk-report.lua', import.meta.url));
const SPREAD = fileURLToPath(new URL('./wrk-spread.lua', import.meta.url));

/** Whether Debian's wrk is there; our own loader is slower and takes more CPU, but the ratios hold with it too. */
export const hasWrk = spawnSync('wrk', ['--version']).error === undefined;

/** Sends the same GET over kept connections, each as fast as it is answered. */
export function load(options: LoadOptions): Promise<LoadResult> {
  return hasWrk ? loadWithWrk(options) : loadWithUndici(options);
}

async function loadWithWrk({ url, headers = {}, connections, seconds, members }: LoadOptions): Promise<LoadResult> {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', members ? SPREAD : REPORT];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`);
  const child = spawn('wrk', [...args, url, ...(members ? ['--', members.file, String(members.first)] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  const report = /^report: (.+)$/m.exec(output)?.[1];
  if (code !== 0 || !report) throw new Error(`wrk failed (${code}) at ${url}:\n${output}`);
  return JSON.parse(report) as LoadResult;
}

export async function loadWithUndici({
  url,
  headers = {},
  connections,
  seconds,
  members,
}: LoadOptions): Promise<LoadResult> {
  const { origin, pathname, search } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const spread = members ? readMembers(members.file) : [{}];
  let turn = members?.first ?? 0;
  const latencies: number[] = [];
  let failures = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const client = async () => {
    for (let now = start; now < end; ) {
      const answer = await pool
        .request({
          path: `${pathname}${search}`,
          method: 'GET',
          headers: { ...headers, ...spread[turn++ % spread.length] },
        })
        .catch(() => undefined);
      await answer?.body.dump();
      if (!answer || answer.statusCode >= 300) failures += 1;
      const then = now;
      now = performance.now();
      latencies.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const taken = (performance.now() - start) / 1000;
  await pool.close();
  return {
    requests: latencies.length,
    failures,
    seconds: taken,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  };
}

function readMembers(file: string): Record<string, string>[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [token, organization] = line.split(' ') as [string, string];
    return { authorization: `Bearer ${token}`, 'x-org-id': organization };
  });
}

/** The value below which that share of all lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
