import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { StepRecord } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { appendFlushed, syncFolder, writeFileAtomically } from './files.ts';
import type { Colour, Places } from './places.ts';

/** A revision (12 hex digits) in the colour it runs in. */
export interface Release {
  revision: string;
  colour: Colour;
}

/** Which release users reach, and which one `make rollback` goes back to. */
export interface Live extends Release {
  since: string;
  previous: Release | null;
}

/** How far the deploy that runs, or ran when it was killed, has come. */
export interface Journal extends Release {
  id: string;
  command: 'deploy' | 'rollback';
  from: Release | null;
  stage: 'preparing' | 'started' | 'switched' | 'finishing';
  started_at: string;
}

/** A deploy or rollback that ended. */
export interface HistoryLine {
  id: string;
  command: 'deploy' | 'rollback';
  environment: string;
  actor: string;
  host: string;
  from: string | null;
  to: string;
  colour: Colour;
  /** Digest by image name. */
  images: Record<string, string>;
  config_hash: string;
  migrations: string[];
  /** The verified backup's id; null on a first installation. */
  backup: string | null;
  steps: readonly StepRecord[];
  started_at: string;
  ended_at: string;
  result: 'succeeded' | 'failed' | 'rolled_back';
  exit: number;
  reason: string | null;
}

export function readLive(places: Places): Live | null {
  return read(places.live, isLive, 'Restore it from the last line of history.ndjson that succeeded');
}

export function writeLive(places: Places, live: Live): void {
  write(places.live, live);
}

export function readJournal(places: Places): Journal | null {
  return read(places.journal, isJournal, 'Look which colour nginx/upstream.conf names, then remove it');
}

export function writeJournal(places: Places, journal: Journal): void {
  write(places.journal, journal);
}

export function clearJournal(places: Places): void {
  if (!existsSync(places.journal)) return;
  rmSync(places.journal, { force: true });
  syncFolder(dirname(places.journal));
}

export function appendHistory(places: Places, line: HistoryLine): void {
  // A line that was torn by a crash must not swallow this one.
  const torn = existsSync(places.history) && !/(^|\n)$/.test(readFileSync(places.history, 'utf8'));
  appendFlushed(places.history, `${torn ? '\n' : ''}${JSON.stringify(line)}\n`);
}

/** Oldest first. A line that a crash tore is left out: its deploy is told by the journal. */
export function readHistory(places: Places): HistoryLine[] {
  if (!existsSync(places.history)) return [];
  return readFileSync(places.history, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const value = parsed(line);
      return isObject(value) && typeof value['id'] === 'string' ? [value as unknown as HistoryLine] : [];
    });
}

function write(path: string, value: object): void {
  writeFileAtomically(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** A state that cannot be read is never taken for none: the next deploy would overwrite the release that is live. */
function read<T>(path: string, is: (value: unknown) => value is T, remedy: string): T | null {
  if (!existsSync(path)) return null;
  const value = parsed(readFileSync(path, 'utf8'));
  if (is(value)) return value;
  throw new Failure(EXIT.preflight, `${path} is damaged`, [`${remedy}.`]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isRelease(value: unknown): value is Release {
  if (!isObject(value)) return false;
  const { revision, colour } = value;
  return typeof revision === 'string' && /^[0-9a-f]{12}$/.test(revision) && (colour === 'blue' || colour === 'green');
}

function isLive(value: unknown): value is Live {
  if (!isRelease(value)) return false;
  const { since, previous } = value as Partial<Live>;
  return typeof since === 'string' && !Number.isNaN(Date.parse(since)) && (previous === null || isRelease(previous));
}

const STAGES: readonly unknown[] = ['preparing', 'started', 'switched', 'finishing'] satisfies Journal['stage'][];

function isJournal(value: unknown): value is Journal {
  if (!isRelease(value)) return false;
  const { id, command, from, stage, started_at } = value as Partial<Journal>;
  const named = typeof id === 'string' && (command === 'deploy' || command === 'rollback');
  return named && STAGES.includes(stage) && typeof started_at === 'string' && (from === null || isRelease(from));
}
