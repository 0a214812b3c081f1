import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SetupError } from './setup-error.ts';

export interface ProcessSpec {
  /** `auth`, `gateway-2`: also the name of its log. */
  name: string;
  /** Arguments of node. */
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
  logDir: string;
  /** Where it serves, and where operators ask whether it is ready. */
  url: string;
  opsUrl?: string;
}

/** A Node process of the platform. It writes its log into a file by itself, so that reading it slows nothing down. */
export interface ManagedProcess {
  name: string;
  url: string;
  opsUrl: string | undefined;
  logFile: string;
  pid(): number | undefined;
  /** `variables` are set over those it has, this time. */
  start(variables?: Record<string, string>): void;
  /** Resolves when it is ready to serve; throws a SetupError with its own words when it ends before. */
  ready(timeoutMs?: number): Promise<void>;
  /** Ends it, SIGKILL after `graceMs`; resolves with its exit code. An end that was asked for is no crash. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number | null>;
}

export interface ProcessEvents {
  onStart: (name: string, pid: number) => void;
  onCrash: (crash: Crash) => void;
}

export interface Crash {
  name: string;
  reason: string;
  lastLines: string[];
}

const EX_CONFIG = 78;
const LOG_MAX_BYTES = 10 * 1024 * 1024;
// Longer than a process takes for its own orderly end (25 s for requests, 28 s in all).
const GRACE_MS = 29_000;

export function manage(spec: ProcessSpec, events: ProcessEvents): ManagedProcess {
  const logFile = join(spec.logDir, `${spec.name}.log`);
  let child: ChildProcess | undefined;
  let wanted = false;

  function start(variables: Record<string, string> = {}): void {
    mkdirSync(spec.logDir, { recursive: true });
    if (existsSync(logFile) && statSync(logFile).size > LOG_MAX_BYTES) renameSync(logFile, `${logFile}.1`);
    const log = openSync(logFile, 'a', 0o600);
    // A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
    const started = spawn(process.execPath, spec.args, {
      cwd: spec.cwd,
      env: { ...spec.env, ...variables },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    child = started;
    wanted = true;
    if (started.pid) events.onStart(spec.name, started.pid);
    started.once('exit', (code, signal) => {
      if (!wanted || child !== started) return;
      wanted = false;
      events.onCrash({ name: spec.name, reason: reasonOf(code, signal), lastLines: lastLines(logFile, 10) });
    });
  }

  async function ready(timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const probe = spec.opsUrl ? `${spec.opsUrl}/readyz` : spec.url;
    let answer = 'no answer';
    while (Date.now() < deadline) {
      if (!child || child.exitCode !== null || child.signalCode !== null) throw ended();
      try {
        const response = await fetch(probe, { signal: AbortSignal.timeout(2_000) });
        answer = await response.text();
        if (response.ok || !spec.opsUrl) return;
      } catch {
        // Not listening yet.
      }
      await delay(40);
    }
    throw new SetupError(`${spec.name} is not ready after ${timeoutMs / 1000} s (${answer}); see ${logFile}`);
  }

  function ended(): SetupError {
    const lines = lastLines(logFile, 40);
    if (child?.exitCode !== EX_CONFIG) {
      const why = lines.slice(-3).map(messageOf).join(' | ');
      return new SetupError(`${spec.name} ended at its start: ${why || `nothing logged`} (${logFile})`);
    }
    // Written as it stands before there is a log, and into the log by what looks at the database.
    const text = lines.map((line) => (line.startsWith('{') ? messageOf(line) : line)).join('\n');
    const after = text.slice(text.lastIndexOf('configuration is invalid')).split('\n');
    const mistakes = after.filter((line) => /^\s+-\s/.test(line)).map((line) => line.replace(/^\s*-\s*/, ''));
    return new SetupError(`${spec.name} refuses its settings: ${mistakes.join('; ')}`);
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = GRACE_MS): Promise<number | null> {
    wanted = false;
    const current = child;
    if (!current || current.exitCode !== null || current.signalCode !== null) return current?.exitCode ?? null;
    const exited = new Promise<number | null>((resolve) => current.once('exit', resolve));
    current.kill(signal);
    const timer = setTimeout(() => current.kill('SIGKILL'), graceMs);
    const code = await exited;
    clearTimeout(timer);
    return code;
  }

  return { name: spec.name, url: spec.url, opsUrl: spec.opsUrl, logFile, pid: () => child?.pid, start, ready, stop };
}

function reasonOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal ? `was killed by ${signal}` : `ended with code ${code}`;
}

export function lastLines(file: string, count: number): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
}

/** What a log line says, in a few words; a line that is no JSON as it stands. */
export function messageOf(line: string): string {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    return [entry['body'], entry['exception.message']].filter(Boolean).join(': ');
  } catch {
    return line;
  }
}
