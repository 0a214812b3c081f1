import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { appendFlushed, writeFileAtomically } from '../files.ts';
import type { Places } from '../places.ts';

/** A backup that was restored and compared with its original. */
export interface BackupRecord {
  /** pgBackRest's label of it. */
  id: string;
  kind: 'full' | 'diff' | 'incr';
  bytes: number;
  backup_ms: number;
  restore_ms: number;
  /** False only where a verification was not due: see mayReuse. */
  verified: boolean;
  tables: number;
  rows: number;
  /** Name of the last migration of each unit. */
  schema: string[];
  audit_head: { seq: number; hash: string } | null;
  at: string;
  reason: string;
}

const fileOf = (places: Places) => join(places.state, 'backups.ndjson');

export function appendRecord(places: Places, record: BackupRecord): void {
  appendFlushed(fileOf(places), `${JSON.stringify(record)}\n`);
}

/** Oldest first; lines that a crash tore are left out. */
export function readRecords(places: Places): BackupRecord[] {
  if (!existsSync(fileOf(places))) return [];
  return readFileSync(fileOf(places), 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as BackupRecord];
      } catch {
        return [];
      }
    });
}

const DAY_MS = 24 * 3600_000;

/**
 * Whether a deploy may go without another proof: the last one is younger than a day, nothing is migrated that takes
 * something away, and what was proven then is still there.
 */
export function provenLately(records: readonly BackupRecord[], labels: readonly string[], now: Date): boolean {
  const last = records.findLast(({ verified }) => verified);
  if (!last || !labels.includes(last.id)) return false;
  return now.getTime() - new Date(last.at).getTime() < DAY_MS;
}

/** Replaces one of the files that the node exporter reads: metric name to [help, samples]. */
export function writeMetrics(places: Places, file: string, metrics: Record<string, Metric>): void {
  mkdirSync(places.metrics, { recursive: true });
  const lines = Object.entries(metrics).flatMap(([name, { help, samples }]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...Object.entries(samples).map(([labels, value]) => `${name}${labels} ${value}`),
  ]);
  writeFileAtomically(join(places.metrics, file), `${lines.join('\n')}\n`);
}

export interface Metric {
  help: string;
  /** By label set, `{kind="full"}` or nothing. */
  samples: Record<string, number>;
}

/** What dashboards and alerts read about restores that were tried out. */
export function writeRestoreMetrics(
  places: Places,
  restored: { at: Date; rtoSeconds: number; rpoSeconds: number },
): void {
  const { at, rtoSeconds, rpoSeconds } = restored;
  const one = (help: string, value: number): Metric => ({ help, samples: { '': value } });
  writeMetrics(places, 'restore.prom', {
    backup_last_verified_restore_timestamp_seconds: one(
      'When a backup was last restored and found equal.',
      Math.round(at.getTime() / 1000),
    ),
    restore_drill_rto_seconds: one('How long the last restore took, until its database was verified.', rtoSeconds),
    restore_drill_rpo_seconds: one('How old the newest archived change was.', rpoSeconds),
  });
}
