import { CommandError } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { pendingMigrations } from '../migrations/migrate-database.ts';
import { markRestorePoint, mustPgbackrest, psql, readRepository } from './database.ts';
import { compareManifests, type Manifest, readManifest, totalRows } from './manifest.ts';
import { appendRecord, type BackupRecord, provenLately, readRecords, writeRestoreMetrics } from './records.ts';
import type { Backup } from './repository.ts';
import { removeScratch, type Scratch, withScratch } from './scratch.ts';

export type { BackupRecord } from './records.ts';

// A backend tells what it wrote at the latest so long after it.
const STATISTICS_LAG_MS = 15_000;

/**
 * Backs the database up, restores the backup into a scratch server and compares: rows of every table, versions of the
 * schema, the whole chain of the audit log. With reason `deploy` a proof of the last day is enough, unless a pending
 * migration takes something away. Throws Failure(EXIT.backup).
 */
export async function backupAndVerify(context: Context, reason: string): Promise<BackupRecord> {
  try {
    return await attempt(context, reason);
  } catch (error) {
    if (error instanceof CommandError)
      throw new Failure(EXIT.backup, 'The database could not be backed up', [error.message], { cause: error });
    throw error;
  }
}

async function attempt(context: Context, reason: string): Promise<BackupRecord> {
  const { compose, places, report } = context;
  await removeScratch(context);
  const reused = reason === 'deploy' && (await proofIsEnough(context));
  // The manifest need only be older than the restore point, so both may take their time at once.
  const [before, { backup, ms: backupMs }] = await Promise.all([readManifest(compose), takeBackup(context, 'incr')]);
  const record = recordOf(before, backup, backupMs, reason);
  if (reused) {
    report.note('restored and compared within the last day, and nothing is taken away: not restored again');
    appendRecord(places, record);
    return record;
  }
  const point = await markRestorePoint(context, reason);
  const rpoSeconds = await archiveAge(context);
  const args = [
    `--repo=${backup.place}`,
    `--set=${backup.label}`,
    '--type=name',
    `--target=${point}`,
    '--target-action=promote',
  ];
  const startedAt = performance.now();
  const rows = await withScratch(context, { args }, (scratch) => verifyScratch(context, scratch, before));
  const restoreMs = Math.round(performance.now() - startedAt);
  writeRestoreMetrics(places, { at: new Date(), rtoSeconds: restoreMs / 1000, rpoSeconds });
  const verified = { ...record, restore_ms: restoreMs, verified: true, rows };
  appendRecord(places, verified);
  return verified;
}

async function proofIsEnough(context: Context): Promise<boolean> {
  const { backups } = await readRepository(context);
  const labels = backups.map(({ label }) => label);
  if (!provenLately(readRecords(context.places), labels, new Date())) return false;
  const { migrations } = await pendingMigrations(context);
  return migrations.every(({ kind }) => kind === 'expand');
}

/** Takes a backup to the place on this host; the first one is a full one whatever was asked for. */
export async function takeBackup(context: Context, type: Backup['type']): Promise<{ backup: Backup; ms: number }> {
  const startedAt = performance.now();
  await mustPgbackrest(context, ['stanza-create']);
  await mustPgbackrest(context, ['backup', `--type=${type}`, '--repo=1']);
  const ms = Math.round(performance.now() - startedAt);
  const { backups } = await readRepository(context);
  const backup = backups.findLast(({ place }) => place === 1);
  if (!backup) throw new Failure(EXIT.backup, 'pgBackRest made a backup and does not list it');
  if (backup.damaged)
    throw new Failure(
      EXIT.backup,
      `Backup ${backup.label} has pages with a wrong checksum: the database's own files are damaged`,
      ['Restore an earlier backup to a point in time (make backups, make restore), and have the disk looked at.'],
    );
  return { backup, ms };
}

function recordOf(before: Manifest, backup: Backup, ms: number, reason: string): BackupRecord {
  const last = new Map(before.schema.map((line) => line.split(' ')[0] ?? '').map((name) => [name.split('/')[0], name]));
  return {
    id: backup.label,
    kind: backup.type,
    bytes: backup.bytes,
    backup_ms: ms,
    restore_ms: 0,
    verified: false,
    tables: Object.keys(before.tables).length,
    rows: totalRows(before),
    schema: [...last.values()],
    audit_head: before.audit_head,
    at: new Date().toISOString(),
    reason,
  };
}

/** Compares a restored server with what the platform's holds; returns its rows. Throws Failure(EXIT.backup). */
export async function verifyScratch(context: Context, { socket }: Scratch, before: Manifest): Promise<number> {
  const restored = await readManifest(context.compose, { verify: true, head: before.audit_head?.seq, socket });
  const deadline = Date.now() + STATISTICS_LAG_MS;
  for (;;) {
    const after = await readManifest(context.compose);
    const { rows, others } = compareManifests(before, after, restored);
    if (rows.length + others.length === 0) return totalRows(restored);
    // Rows that a connection wrote a moment ago may not be counted as written yet.
    if (others.length > 0 || Date.now() > deadline)
      throw new Failure(EXIT.backup, 'The restored backup differs from the database', [...others, ...rows]);
  }
}

/** How old, in seconds, the newest archived change is: what a disaster now would cost. */
export async function archiveAge(context: Context): Promise<number> {
  const age = await psql(
    context,
    'select round(extract(epoch from clock_timestamp() - a.last_archived_time), 1) from pg_stat_archiver a',
    'postgres',
  );
  return Number(age || Number.NaN);
}
