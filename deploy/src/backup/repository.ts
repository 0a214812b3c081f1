import { EXIT, Failure } from '../failure.ts';

/** A backup of the whole cluster, as `pgbackrest info --output=json` tells of it. */
export interface Backup {
  label: string;
  type: 'full' | 'diff' | 'incr';
  /** 1 is the volume on this host, 2 the second place. */
  place: number;
  startedAt: Date;
  /** From here on every point in time can be restored, as far as the archive reaches. */
  endedAt: Date;
  /** Of the database. */
  bytes: number;
  /** What it took in the repository. */
  storedBytes: number;
  /** Found damaged by pgBackRest: pages with a wrong checksum. */
  damaged: boolean;
}

export interface Repository {
  backups: Backup[];
  /** By place: what is wrong with it; empty when nothing is. */
  problems: Record<number, string>;
}

interface Info {
  name: string;
  status: { code: number; message: string };
  repo?: { key: number; status: { code: number; message: string } }[];
  backup: {
    label: string;
    type: Backup['type'];
    error?: boolean | null;
    database: { 'repo-key': number };
    timestamp: { start: number; stop: number };
    info: { size: number; repository: { delta: number } };
  }[];
}

const NO_BACKUPS = 2;

/** Reads what `pgbackrest info --output=json` wrote; oldest first. */
export function parseInfo(text: string): Repository {
  const stanza = (JSON.parse(text || '[]') as Info[]).find(({ name }) => name === 'gatehouse');
  const backups = (stanza?.backup ?? []).map(({ label, type, error, database, timestamp, info }) => ({
    label,
    type,
    place: database['repo-key'],
    startedAt: new Date(timestamp.start * 1000),
    endedAt: new Date(timestamp.stop * 1000),
    bytes: info.size,
    storedBytes: info.repository.delta,
    damaged: error === true,
  }));
  const problems: Record<number, string> = {};
  for (const { key, status } of stanza?.repo ?? [])
    if (status.code !== 0 && status.code !== NO_BACKUPS) problems[key] = status.message;
  return { backups: backups.sort((a, b) => a.endedAt.getTime() - b.endedAt.getTime()), problems };
}

export interface RestoreTarget {
  backup: Backup;
  /** Undefined = as far as the archive reaches. */
  at: Date | undefined;
  /** Nothing beyond the backup's own end. */
  immediate: boolean;
}

/**
 * Which backup to restore and how far to go on from it. FROM is `latest` or a backup's label; AT is a time with its
 * zone. A label alone means the database as it was when that backup ended.
 */
export function chooseTarget(backups: readonly Backup[], from: string, at: string, now = new Date()): RestoreTarget {
  const usable = backups.filter(({ damaged }) => !damaged);
  const time = at ? parseTime(at, now) : undefined;
  const named = usable.filter(({ label }) => label === from);
  if (from !== 'latest' && named.length === 0)
    throw new Failure(EXIT.usage, `There is no backup ${from}`, [
      '`make backups` lists them; FROM=latest takes the newest.',
    ]);
  const candidates = from === 'latest' ? usable : named;
  const reaching = time ? candidates.filter(({ endedAt }) => endedAt <= time) : candidates;
  // Of the same backup in two places the nearer one.
  const best = reaching.toSorted((a, b) => b.endedAt.getTime() - a.endedAt.getTime() || a.place - b.place)[0];
  if (best) return { backup: best, at: time, immediate: from !== 'latest' && !time };
  const [oldest] = candidates;
  if (!oldest) throw new Failure(EXIT.backup, 'There is no backup to restore');
  throw new Failure(EXIT.usage, `No backup is older than ${at}`, [
    `The earliest time is ${oldest.endedAt.toISOString()}.`,
  ]);
}

function parseTime(text: string, now: Date): Date {
  const zoned = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?\s?(Z|[+-]\d\d(:?\d\d)?)$/.test(text);
  const time = new Date(
    text
      .replace(' ', 'T')
      .replace(/\s/, '')
      .replace(/([+-]\d\d)$/, '$1:00')
      .replace(/([+-]\d\d)(\d\d)$/, '$1:$2'),
  );
  if (!zoned || Number.isNaN(time.getTime()))
    throw new Failure(EXIT.usage, `AT=${text} is no time with a zone`, ["Write it like AT='2026-11-21 03:00:00+00'."]);
  if (time > now) throw new Failure(EXIT.usage, `AT=${text} is yet to come`);
  return time;
}

/** The options of `pgbackrest restore` for a target. */
export function restoreOptions({ backup, at, immediate }: RestoreTarget): string[] {
  const source = [`--repo=${backup.place}`, `--set=${backup.label}`];
  if (at)
    return [
      ...source,
      '--type=time',
      `--target=${at.toISOString().replace('T', ' ').replace('Z', '+00')}`,
      '--target-action=promote',
    ];
  return immediate ? [...source, '--type=immediate', '--target-action=promote'] : source;
}
