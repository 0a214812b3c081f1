import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SetupError } from './setup-error.ts';

/** What runs for a data folder, so that nothing is left over however the supervisor ends. */
export interface RunState {
  add(name: string, pid: number): void;
  /** Everything was stopped in order. */
  clear(): void;
}

interface Entry {
  name: string;
  pid: number;
  /** Start time in clock ticks: a process id alone may belong to another process by now. */
  startedAt: string;
}

// Waits for the supervisor's end of the pipe to close; a cleared file means that there is nothing to do. Postgres gets
// SIGINT once its clients are gone: SIGTERM would wait for them.
const REAPER = `cat >/dev/null
[ -s "$1" ] || exit 0
while read -r name pid rest; do
  case $name in supervisor|postgres) ;; *) kill -TERM "$pid" 2>/dev/null ;; esac
done <"$1"
sleep 1
while read -r name pid rest; do [ "$name" = postgres ] && kill -INT "$pid" 2>/dev/null; done <"$1"
sleep 4
while read -r name pid rest; do [ "$name" = supervisor ] || kill -KILL "$pid" 2>/dev/null; done <"$1"
rm -f "$1"`;

/** Takes the data folder for this process: ends what a killed supervisor left, refuses when another one is alive. */
export async function takeRunState(file: string): Promise<RunState> {
  const entries = readEntries(file).filter(isAlive);
  const supervisor = entries.find(({ name }) => name === 'supervisor');
  if (supervisor) throw new SetupError(`The platform is running already (process ${supervisor.pid}).`);
  await endAll(entries);

  mkdirSync(dirname(file), { recursive: true });
  const current: Entry[] = [];
  const write = () => writeFileSync(file, current.map((entry) => `${Object.values(entry).join(' ')}\n`).join(''));
  const add = (name: string, pid: number) => {
    const known = current.findIndex((entry) => entry.name === name);
    if (known >= 0) current.splice(known, 1);
    current.push({ name, pid, startedAt: startTime(pid) ?? '' });
    write();
  };
  add('supervisor', process.pid);
  const reaper = startReaper(file);
  return {
    add,
    clear() {
      rmSync(file, { force: true });
      reaper.stdin?.end();
    },
  };
}

function startReaper(file: string): ChildProcess {
  const reaper = spawn('/bin/sh', ['-c', REAPER, 'sh', file], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  reaper.unref();
  (reaper.stdin as unknown as { unref(): void }).unref();
  return reaper;
}

async function endAll(entries: readonly Entry[]): Promise<void> {
  for (const { name, pid } of entries) signal(pid, name === 'postgres' ? 'SIGINT' : 'SIGTERM');
  for (let waitedMs = 0; entries.some(isAlive) && waitedMs < 5_000; waitedMs += 100) await delay(100);
  for (const entry of entries) if (isAlive(entry)) signal(entry.pid, 'SIGKILL');
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone by itself.
  }
}

function readEntries(file: string): Entry[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [name = '', pid = '', startedAt = ''] = line.split(' ');
      return { name, pid: Number(pid), startedAt };
    });
}

function isAlive({ pid, startedAt }: Entry): boolean {
  return startedAt !== '' && startTime(pid) === startedAt;
}

/** Field 22 of /proc/<pid>/stat, counted after the name, which may hold spaces; undefined for a process that ended. */
function startTime(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
