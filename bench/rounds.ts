import { cpuSeconds } from './cpu.ts';
import { type LoadOptions, type LoadResult, load, quantile } from './load.ts';

/** One figure of several rounds: the median, with the lowest and the highest round. */
export interface Figure {
  median: number;
  low: number;
  high: number;
}

export function figure(values: readonly number[]): Figure {
  return { median: quantile(values, 0.5), low: Math.min(...values), high: Math.max(...values) };
}

/**
 * Measures subject and baseline in turn (A B A B …), so that what else the machine does meets both, and gives what
 * each round gave. One round of each goes before and does not count: it warms caches and compilers.
 */
export async function interleave<T>(
  rounds: number,
  subject: () => Promise<T>,
  baseline: () => Promise<T>,
): Promise<{ subject: T; baseline: T }[]> {
  await subject();
  await baseline();
  const results: { subject: T; baseline: T }[] = [];
  for (let round = 0; round < rounds; round++) results.push({ subject: await subject(), baseline: await baseline() });
  return results;
}

export interface Served extends LoadResult {
  /** Requests for each CPU-second of the server and its children. */
  perCpuSecond: number;
}

/** Loads a server for one round, and reads what CPU it spent. Throws when it refused anything. */
export function serve(pid: number, options: LoadOptions): Promise<Served> {
  return served(pid, () => load(options));
}

/** The same with a load of one's own. */
export async function served(pid: number, run: () => Promise<LoadResult>): Promise<Served> {
  const before = cpuSeconds(pid);
  const result = await run();
  const spent = cpuSeconds(pid) - before;
  if (result.failures > 0) throw new Error(`${result.failures} of ${result.requests} requests failed`);
  return { ...result, perCpuSecond: result.requests / spent };
}
