import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { must, run } from '../command.ts';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { writeFileAtomically } from '../files.ts';
import type { Colour, Places } from '../places.ts';

const CONFIGURATION = '/etc/gatehouse/nginx.conf';
const UPSTREAM = 'upstream.conf';
// In which a client that keeps its connections busy hears on each of them that it ends.
const DRAIN_MS = 2_000;
const RELOAD_MS = 10_000;
// nginx cuts what its old workers still do after 30 s (worker_shutdown_timeout).
const OLD_WORKERS_MS = 40_000;

/** The colour that users reach, as nginx has it; null while nothing says so. */
export function namedColour(places: Places): Colour | null {
  const path = join(places.nginx, UPSTREAM);
  if (!existsSync(path)) return null;
  const last = /^server \d+\.\d+\.\d+\.(\d+):/m.exec(readFileSync(path, 'utf8'))?.[1];
  if (last === undefined) return null;
  return Number(last) < 20 ? 'blue' : 'green';
}

/** The text of upstream.conf, as nginx/render.ts writes it; that one needs packages, which a host does not have. */
export function upstreamText(addresses: readonly string[]): string {
  return addresses.map((address) => `server ${address} max_fails=3 fail_timeout=2s;\n`).join('');
}

export type EdgeFiles = Record<string, string>;

export function readEdgeFiles(folder: string): EdgeFiles {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.conf')) : [];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

/** Replaces what differs. upstream.conf comes last: a kill in between leaves the old addresses. */
export function writeEdgeFiles(places: Places, files: EdgeFiles): void {
  const old = readEdgeFiles(places.nginx);
  const names = Object.keys(files).sort((a, b) => Number(a === UPSTREAM) - Number(b === UPSTREAM));
  for (const name of names)
    if (old[name] !== files[name]) writeFileAtomically(join(places.nginx, name), files[name] ?? '');
}

export async function findNginx({ compose }: Context): Promise<Container | undefined> {
  const [container] = await compose.containers(['nginx']);
  return container?.state === 'running' ? container : undefined;
}

export async function nginxOf(context: Context): Promise<Container> {
  const container = await findNginx(context);
  if (container) return container;
  throw new Failure(EXIT.switch, 'nginx does not run', ['Its logs: make logs S=nginx']);
}

/** Undefined when nginx takes the configuration, else what it says against it. */
export async function configurationMistake(nginx: Container): Promise<string | undefined> {
  const { code, stderr } = await run('docker', ['exec', nginx.id, 'nginx', '-t', '-q', '-c', CONFIGURATION]);
  return code === 0 ? undefined : stderr.trim();
}

/** Has clients move to fresh connections, which a reload leaves open; prepares meanwhile, and then does the work. */
export async function drained<P, T>(
  places: Places,
  prepare: () => Promise<P>,
  work: (prepared: P) => Promise<T>,
): Promise<T> {
  const flag = join(places.nginx, 'flags', 'draining');
  writeFileAtomically(flag, '');
  try {
    const [prepared] = await Promise.all([prepare(), delay(DRAIN_MS)]);
    return await work(prepared);
  } finally {
    rmSync(flag, { force: true });
  }
}

/**
 * Reloads once and resolves when new workers serve and those of before take no connection any more.
 * Through `exec`: a signal by `docker kill` would make the engine leave nginx stopped after its own restart.
 */
export async function reload(nginx: Container, before: readonly number[]): Promise<void> {
  await must('docker', ['exec', nginx.id, 'nginx', '-c', CONFIGURATION, '-s', 'reload'], { timeoutMs: RELOAD_MS });
  for (const deadline = Date.now() + RELOAD_MS; Date.now() < deadline; await delay(50)) {
    const serving = await servingWorkers(nginx);
    if (serving.length > 0 && serving.every((pid) => !before.includes(pid))) return;
  }
  throw new Failure(EXIT.switch, 'nginx did not take the new configuration', ['Its logs: make logs S=nginx']);
}

/** Resolves when the workers of before are gone: nothing is on its way to the old addresses any more. */
export async function workersGone(nginx: Container, pids: readonly number[]): Promise<boolean> {
  for (const deadline = Date.now() + OLD_WORKERS_MS; Date.now() < deadline; await delay(200)) {
    const now = await workersOf(nginx).catch(() => []);
    if (!now.some(({ pid }) => pids.includes(pid))) return true;
  }
  return false;
}

/** Workers that take connections. */
export async function servingWorkers(nginx: Container): Promise<number[]> {
  return (await workersOf(nginx)).filter(({ leaving }) => !leaving).map(({ pid }) => pid);
}

/** Workers that an earlier reload has left to finish. */
export async function leavingWorkers(nginx: Container): Promise<number[]> {
  return (await workersOf(nginx)).filter(({ leaving }) => leaving).map(({ pid }) => pid);
}

async function workersOf({ id }: Container): Promise<{ pid: number; leaving: boolean }[]> {
  const lines = (await must('docker', ['top', id, '-eo', 'pid,args'])).split('\n');
  return lines.flatMap((line) => {
    const [, pid, rest] = /^\s*(\d+)\s+nginx: worker process(.*)$/.exec(line) ?? [];
    return pid === undefined ? [] : [{ pid: Number(pid), leaving: /shutting down/.test(rest ?? '') }];
  });
}
