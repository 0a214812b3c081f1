import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Reporter } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import type { Places } from './places.ts';
import { livenessOf, ownIdentity, type ProcessIdentity } from './processes.ts';

export interface Holder extends ProcessIdentity {
  id: string;
  command: string;
  revision: string;
  at: string;
}

export interface Purpose {
  command: string;
  revision?: string;
  report: Pick<Reporter, 'note' | 'warn'>;
}

const HEARTBEAT_MS = 5_000;
// Only for a holder whose process cannot be seen from here: in a container, or on another host.
const SILENT_AFTER_MS = 60_000;
const POLL_MS = 100;
const REMIND_MS = 30_000;

/** The locks that this process holds, for the end that a signal brings. */
const held = new Map<string, string>();

/**
 * Does the work while no other command changes this environment. Waits for a command that does, takes over from one
 * whose process is gone, and throws a Failure with code 12 when the time is up.
 *
 * The lock is a folder of `holder-<n>.json`. It appears whole, by a rename, so it never has no holder. Taking over is
 * adding the next number, which only one can; who added it then looks whether every other holder is gone, since in the
 * meantime the folder may have become another one's. Nobody takes away a folder that is not theirs.
 */
export async function withLock<T>(
  places: Places,
  purpose: Purpose,
  waitSeconds: number,
  work: () => Promise<T>,
): Promise<T> {
  const holder = await acquire(places, purpose, waitSeconds);
  held.set(places.lock, holder.id);
  const heartbeat = setInterval(() => beat(places.lock, holder.id, purpose), HEARTBEAT_MS).unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    release(places.lock, holder.id);
  }
}

/** Who has the lock and whether that is a command that runs; null when nobody has it. */
export function lockHolder(places: Places): { holder: Holder; alive: boolean } | null {
  const holders = holdersIn(places.lock);
  const last = holders.findLast(({ alive }) => alive) ?? holders.at(-1);
  return last ?? null;
}

/** Takes the lock away, whoever has it. */
export function breakLock(places: Places): void {
  remove(places.lock);
}

/** For a process that is about to end; tells whether it held one. */
export function releaseHeldLocks(): boolean {
  const any = held.size > 0;
  for (const [lock, id] of held) release(lock, id);
  return any;
}

async function acquire(places: Places, purpose: Purpose, waitSeconds: number): Promise<Holder> {
  const { lock } = places;
  mkdirSync(dirname(lock), { recursive: true });
  const { command, revision = '', report } = purpose;
  const id = randomBytes(8).toString('hex');
  const holder: Holder = { id, command, revision, at: new Date().toISOString(), ...ownIdentity() };
  const deadline = Date.now() + waitSeconds * 1000;
  let told = 0;
  for (;;) {
    if (claimFree(lock, holder)) return holder;
    const found = holdersIn(lock);
    const living = found.find(({ alive }) => alive);
    if (!living) {
      const gone = found.findLast((one) => one.holder.pid > 0)?.holder ?? found.at(-1)?.holder;
      if (gone && claimNext(lock, holder, found)) {
        report.warn(`Took over the lock of ${describeHolder(gone)}, which was killed.`);
        return holder;
      }
      continue;
    }
    if (Date.now() >= deadline) throw locked(living.holder, waitSeconds);
    if (Date.now() - told >= REMIND_MS) {
      report.note(`Waiting for ${describeHolder(living.holder)}`);
      told = Date.now();
    }
    await delay(Math.min(POLL_MS, Math.max(1, deadline - Date.now())));
  }
}

function locked(holder: Holder, waitSeconds: number): Failure {
  const waited = waitSeconds > 0 ? ` and was not done within ${waitSeconds} s` : '';
  return new Failure(EXIT.locked, `Another command is changing this environment${waited}`, [
    `It is ${describeHolder(holder)}.`,
    'Wait for it (LOCK_WAIT=seconds), or see with `make unlock` whether it is still there.',
  ]);
}

export function describeHolder({ command, revision, pid, host, at }: Holder): string {
  return `make ${command}${revision && ` (${revision.slice(0, 12)})`}, process ${pid} on ${host}, since ${at}`;
}

/** A full folder can be renamed to a name that is free, and to nothing else. */
function claimFree(lock: string, holder: Holder): boolean {
  const own = `${lock}.${holder.id}`;
  if (existsSync(lock) && readdirSync(lock, { withFileTypes: true }).length > 0) return false;
  mkdirSync(own);
  writeFileSync(join(own, 'holder-0.json'), JSON.stringify(holder), { flush: true });
  try {
    renameSync(own, lock);
    return true;
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    return false;
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/**
 * The number follows from the look that found everyone gone, so that of those who looked at the same time one gets it.
 * A claim that turns out to be in another one's folder is voided through the open file: whatever has that name by now.
 */
function claimNext(lock: string, holder: Holder, found: readonly Found[]): boolean {
  const draft = `${lock}.${holder.id}.draft`;
  const file = openSync(draft, 'wx');
  try {
    writeFileSync(file, JSON.stringify(holder), { flush: true });
    const next = (found.at(-1)?.number ?? -1) + 1;
    linkSync(draft, join(lock, `holder-${next}.json`));
    const now = holdersIn(lock);
    const mine = now.some((one) => one.holder.id === holder.id);
    if (mine && now.every((one) => one.holder.id === holder.id || !one.alive)) return true;
    ftruncateSync(file);
    return false;
  } catch (error) {
    // Somebody else was first, or the lock has just been given back.
    if (!isCode(error, 'EEXIST', 'ENOENT')) throw error;
    return false;
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
}

interface Found {
  number: number;
  holder: Holder;
  alive: boolean;
}

function holdersIn(lock: string): Found[] {
  const found: Found[] = [];
  for (const name of namesIn(lock)) {
    const number = Number(/^holder-(\d+)\.json$/.exec(name)?.[1] ?? Number.NaN);
    const path = join(lock, name);
    try {
      const holder = parseHolder(readFileSync(path, 'utf8'));
      const liveness = livenessOf(holder);
      const alive =
        liveness === 'unknown' ? Date.now() - statSync(path).mtimeMs < SILENT_AFTER_MS : liveness === 'alive';
      if (!Number.isNaN(number)) found.push({ number, holder, alive });
    } catch (error) {
      // Given back between listing and reading.
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }
  return found.sort((a, b) => a.number - b.number);
}

/** An empty one was voided, or left by a power cut that its process is gone with. */
function parseHolder(text: string): Holder {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    const unknown = { pid: 0, process_start: '?', boot_id: '', pid_namespace: '', host: hostname() };
    return { id: '', command: '?', revision: '', at: '?', ...unknown };
  }
}

function namesIn(lock: string): string[] {
  try {
    return readdirSync(lock);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function beat(lock: string, id: string, { report }: Purpose): void {
  const own = holdersIn(lock).find(({ holder }) => holder.id === id);
  if (own) return utimesSync(join(lock, `holder-${own.number}.json`), new Date(), new Date());
  report.warn('The lock of this command was taken away while it runs.');
}

function release(lock: string, id: string): void {
  held.delete(lock);
  if (holdersIn(lock).some(({ holder }) => holder.id === id)) remove(lock);
}

/** In one step: a folder that is emptied file by file would be nobody's in between. */
function remove(lock: string): void {
  const trash = `${lock}.${randomBytes(8).toString('hex')}.gone`;
  try {
    renameSync(lock, trash);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  rmSync(trash, { recursive: true, force: true });
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}
