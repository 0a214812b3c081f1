import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endChild } from '@gatehouse/testkit/process';
import { renderNginx, renderUpstream } from '../../nginx/render.ts';
import type { NginxOptions, NginxSettings } from '../../nginx/settings.ts';

export interface RunningNginx {
  pid: number;
  child: ChildProcess;
  /** Where the rendered files lie. */
  dir: string;
  /** Where `draining` and `maintenance` are looked for. */
  flagsDir: string;
  /** Swaps the addresses of the gateway and reloads. */
  useGateways(addresses: readonly string[]): Promise<void>;
  /** Drains, reloads, and resolves when the new workers serve. */
  reload(): Promise<void>;
  /** Lets requests end for a moment, then cuts them. */
  stop(): Promise<void>;
}

const PLACES = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/local/nginx/sbin/nginx'];

/** Where nginx is; Debian keeps it in a folder that is not in the path of an ordinary user. */
export function findNginx(): string | undefined {
  const inPath = (process.env['PATH'] ?? '').split(':').map((dir) => join(dir || '.', 'nginx'));
  return [...inPath, ...PLACES].find((path) => existsSync(path));
}

/** Loopback for development: IPv6 too where the machine has it, since `localhost` may mean either. */
export function listenAddresses(bindAddress: string): string[] {
  const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
  if (!hasIpv6) return [bindAddress];
  if (bindAddress === '127.0.0.1') return [bindAddress, '[::1]'];
  return bindAddress === '0.0.0.0' ? [bindAddress, '[::]'] : [bindAddress];
}

interface StartOptions {
  /** Another user than ourselves; `dir` must be theirs. */
  runAs?: { uid: number; gid: number };
  /** Changes the rendered files before they are written. */
  amend?: (files: Record<string, string>) => void;
}

/** Writes the configuration below `dir` and starts nginx with it, as root or as an ordinary user. */
export async function startNginx(
  dir: string,
  options: NginxOptions,
  { runAs, amend }: StartOptions = {},
): Promise<RunningNginx> {
  const program = findNginx();
  if (!program) throw new Error('nginx is not installed: apt-get install nginx');
  mkdirSync(dir, { recursive: true });
  const tempDir = makeTempDir();
  if (runAs) chownSync(tempDir, runAs.uid, runAs.gid);
  const flagsDir = join(tempDir, 'flags');
  mkdirSync(flagsDir);
  chmodSync(flagsDir, 0o755);
  const user = runAs ? {} : workerUser();
  const settings: NginxSettings = { ...options, runDir: dir, tempDir, flagsDir, http2: http2Style(program), ...user };
  const files = renderNginx(settings);
  amend?.(files);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const args = ['-c', join(dir, 'nginx.conf'), '-e', options.errorLog, '-g', 'daemon off;'];
  const child = spawn(program, args, { ...runAs, detached: true, stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
  const complaints: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk.toString()));
  child.once('exit', () => rmSync(tempDir, { recursive: true, force: true }));
  await started(child, settings.opsListen, complaints);
  const reload = () => drained(flagsDir, () => reloaded(child));
  return {
    pid: child.pid ?? 0,
    child,
    dir,
    flagsDir,
    reload,
    useGateways(addresses) {
      writeFileSync(join(dir, 'upstream.conf.new'), renderUpstream(addresses));
      renameSync(join(dir, 'upstream.conf.new'), join(dir, 'upstream.conf'));
      return reload();
    },
    stop: () => stop(child),
  };
}

/** The workers run as nobody and must be able to enter it, which a checkout under /root does not allow. */
function makeTempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-nginx-'));
  chmodSync(dir, 0o711);
  return dir;
}

function workerUser(): Pick<NginxSettings, 'user'> {
  if (process.getuid?.() !== 0) return {};
  const group = /^nogroup:/m.test(readFileSync('/etc/group', 'utf8')) ? 'nogroup' : 'nobody';
  return { user: { name: 'nobody', group } };
}

function http2Style(program: string): NginxSettings['http2'] {
  // `nginx -v` writes to stderr.
  const version = execFileSync('/bin/sh', ['-c', '"$1" -v 2>&1', 'sh', program], { encoding: 'utf8' });
  const [, major = 0, minor = 0, patch = 0] = /(\d+)\.(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  return major > 1 || minor > 25 || (minor === 25 && patch >= 1) ? 'directive' : 'listen';
}

async function started(child: ChildProcess, opsListen: string, complaints: string[]): Promise<void> {
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
    if (failure) throw new Error(`nginx does not start: ${failure.message}`);
    if (child.exitCode !== null) throw new Error(`nginx does not start: ${complaints.join('').trim()}`);
    if (await alive(opsListen)) return;
    await delay(20);
  }
  child.kill('SIGKILL');
  throw new Error(`nginx does not answer on ${opsListen}`);
}

function alive(opsListen: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = request(`http://${opsListen}/livez`, { agent: false, timeout: 500 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    probe.once('timeout', () => probe.destroy()).once('error', () => resolve(false));
    probe.end();
  });
}

// As long as a client that keeps its connections busy is likely to need to hear of it on each of them.
const DRAIN_MS = 500;

/** Has clients move to fresh connections, which a reload does not close, and then does it. */
async function drained(flagsDir: string, work: () => Promise<void>): Promise<void> {
  const flag = join(flagsDir, 'draining');
  writeFileSync(flag, '');
  try {
    await delay(DRAIN_MS);
    await work();
  } finally {
    rmSync(flag, { force: true });
  }
}

/** A reload is asynchronous: it is done when new workers serve and every old one has stopped listening. */
async function reloaded(child: ChildProcess): Promise<void> {
  const before = workersOf(child.pid ?? 0);
  child.kill('SIGHUP');
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
    await delay(20);
    const fresh = workersOf(child.pid ?? 0).filter((pid) => !before.includes(pid));
    if (fresh.length > 0 && before.every(isLeaving)) return;
  }
  throw new Error('nginx did not take the new configuration; see its error log');
}

/** Process ids of the workers; empty where the system has no /proc. */
export function workersOf(master: number): number[] {
  try {
    const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8');
    return children.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function isLeaving(worker: number): boolean {
  try {
    const title = readFileSync(`/proc/${worker}/cmdline`, 'utf8');
    return title === '' || title.includes('is shutting down');
  } catch {
    return true;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGQUIT');
  await Promise.race([exited, delay(1_000, undefined, { ref: false })]);
  await endChild(child, 'SIGTERM', 'SIGKILL', 3_000);
}
