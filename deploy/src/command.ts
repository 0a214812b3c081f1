import { type ChildProcess, spawn } from 'node:child_process';

export interface CommandOptions {
  /** Written to its standard input, which is closed then. */
  input?: string | Buffer;
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** SIGKILL after so long; the code is then 124, as that of timeout(1). */
  timeoutMs?: number;
  /** Receives every line of both outputs as it comes. */
  onLine?: (line: string) => void;
}

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

const TIMED_OUT = 124;
const NOT_FOUND = 127;
const STOP_MS = 5_000;

const running = new Set<ChildProcess>();
let stopping = false;

/** Runs a program without a shell and resolves when it has ended, whatever its code. */
export function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input, env, cwd, timeoutMs, onLine } = options;
  return new Promise((resolve) => {
    if (stopping) return;
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(child);
    const texts = { stdout: '', stderr: '' };
    let timedOut = false;
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => end(), timeoutMs);
    const end = () => {
      timedOut = true;
      child.kill('SIGKILL');
    };
    for (const name of ['stdout', 'stderr'] as const) {
      let rest = '';
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        texts[name] += chunk;
        if (!onLine) return;
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) onLine(line);
      });
    }
    const finish = (code: number, complaint = '') => {
      clearTimeout(timer);
      running.delete(child);
      if (!stopping) resolve({ code, stdout: texts.stdout, stderr: texts.stderr + complaint });
    };
    child.once('error', (error: NodeJS.ErrnoException) => finish(NOT_FOUND, error.message));
    child.once('close', (code) => finish(timedOut ? TIMED_OUT : (code ?? 1)));
    // A program that ends without reading its input is no error of ours.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** A command that ended with another code than 0. */
export class CommandError extends Error {
  readonly result: CommandResult;

  constructor(program: string, args: readonly string[], result: CommandResult) {
    const last = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('\n');
    super(`${[program, ...args].join(' ').slice(0, 200)} ended with ${result.code}: ${last}`);
    this.name = 'CommandError';
    this.result = result;
  }
}

/** Runs a program and returns what it wrote to standard output; throws a CommandError when it failed. */
export async function must(program: string, args: readonly string[], options?: CommandOptions): Promise<string> {
  const result = await run(program, args, options);
  if (result.code !== 0) throw new CommandError(program, args, result);
  return result.stdout;
}

/**
 * Ends what runs, before this process ends: a build or a job must not go on unseen beside the next command's. Who waits
 * for it, or starts another one, waits for ever: nothing is to be done about a failure that the end itself has caused.
 */
export async function stopCommands(): Promise<void> {
  stopping = true;
  const ends = [...running].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of running) child.kill('SIGTERM');
  const timer = setTimeout(() => {
    for (const child of running) child.kill('SIGKILL');
  }, STOP_MS);
  await Promise.all(ends);
  clearTimeout(timer);
}

/** Runs a program on this process's terminal, for what a person follows, and resolves with its code. */
export function interactive(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' });
    running.add(child);
    child.once('error', reject);
    child.once('close', (code) => {
      running.delete(child);
      if (!stopping) resolve(code ?? 130);
    });
  });
}
