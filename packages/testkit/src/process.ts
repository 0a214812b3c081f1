import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A TCP port that was free a moment ago; whoever binds it must be ready to try another. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Settles when the program's output matches `ready`; rejects with its last lines when it ends before. */
export function waitForOutput(child: ChildProcess, ready: RegExp, name: string): Promise<void> {
  const lines: string[] = [];
  return new Promise((resolve, reject) => {
    let settled = false;
    const read = (chunk: Buffer): void => {
      if (settled) return;
      lines.push(...chunk.toString().split('\n').filter(Boolean));
      lines.splice(0, lines.length - 20);
      if (!lines.some((line) => ready.test(line))) return;
      settled = true;
      resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', (error) => reject(new Error(`${name} does not start: ${error.message}`)));
    // 'close' and not 'exit': the last lines, which say why, come between the two.
    child.once('close', (code) =>
      reject(new Error(`${name} ended (${code}) before it was ready:\n${lines.join('\n')}`)),
    );
  });
}

/** Ends a child: the polite signal first, the hard one after `graceMs`. */
export async function endChild(child: ChildProcess, polite: NodeJS.Signals, hard: NodeJS.Signals, graceMs = 10_000) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const cancel = new AbortController();
  child.kill(polite);
  const late = delay(graceMs, 'late', { signal: cancel.signal }).catch(() => undefined);
  if ((await Promise.race([exited, late])) === 'late') child.kill(hard);
  await exited;
  cancel.abort();
}

/**
 * Ends processes and removes a folder when this process is gone, however it went: a shell in a session of its own
 * waits for our end of a pipe to close. Nothing else survives SIGKILL of a test run.
 */
export function reapWithUs({ pids, dir }: { pids: number[]; dir: string }): void {
  const script = 'cat >/dev/null; d=$1; shift; kill -QUIT "$@" 2>/dev/null; sleep 0.2; rm -rf -- "$d"';
  const reaper = spawn('/bin/sh', ['-c', script, 'sh', dir, ...pids.map(String)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  reaper.unref();
  (reaper.stdin as unknown as { unref(): void }).unref();
}
