import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Tells a process from every other one, also from one that gets its number later. */
export interface ProcessIdentity {
  pid: number;
  /** In clock ticks since the host started. */
  process_start: string;
  boot_id: string;
  /** Numbers of processes mean something within a namespace only: a deployer in a container has its own. */
  pid_namespace: string;
  host: string;
}

export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    process_start: startOf(process.pid) ?? '',
    boot_id: bootId(),
    pid_namespace: ownNamespace(),
    host: hostname(),
  };
}

/** Whether a process still is; `unknown` for one that cannot be seen from here. */
export function livenessOf(process: ProcessIdentity): 'alive' | 'gone' | 'unknown' {
  if (process.boot_id !== bootId()) return process.host === hostname() ? 'gone' : 'unknown';
  if (process.pid_namespace !== ownNamespace()) return 'unknown';
  return startOf(process.pid) === process.process_start ? 'alive' : 'gone';
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function ownNamespace(): string {
  return readlinkSync('/proc/self/ns/pid');
}

function startOf(pid: number): string | undefined {
  try {
    // The name, in parentheses, may itself contain blanks and parentheses; the state is the first field behind it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\)\s/s, '')
      .split(' ');
    const [state] = fields;
    // One that was killed and that its parent has not asked after yet holds nothing any more.
    return state === 'Z' || state === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
