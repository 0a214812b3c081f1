import { setTimeout as delay } from 'node:timers/promises';
import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { migrateDatabase, schemaJob } from '../migrations/migrate-database.ts';
import { servicesOf } from '../places.ts';
import { recordDeployEvent } from '../smoke/record.ts';
import { readLive } from '../state.ts';
import { confirmDestruction } from '../terminal.ts';
import { clusterBytes, moveAside, putBack, removeAsides, revokedSince } from './aside.ts';
import {
  databaseImage,
  findContainer,
  markRestorePoint,
  psql,
  psqlIn,
  readRepository,
  repositoryOptions,
  volumeOf,
} from './database.ts';
import { closedFor } from './maintenance.ts';
import { type Manifest, readManifest, totalRows } from './manifest.ts';
import { chooseTarget, type RestoreTarget, restoreOptions } from './repository.ts';
import { removeScratch } from './scratch.ts';
import { takeBackup } from './verified-backup.ts';

const HEALTHY_WITHIN_S = 180;
const RECOVERY_POLL_MS = 250;
const RECOVERY_TIMEOUT_MS = 4 * 3600_000;

/**
 * Replaces the database by a backup, as far on as `at` or the archive says. What was there is kept in the volume until
 * the full backup at the end; nothing gets in before every session of before is ended.
 */
export async function restore(context: Context, { from, at }: { from: string; at: string }): Promise<void> {
  const { compose, report, places } = context;
  await removeScratch(context);
  // Makes the volumes where they are gone, and starts nothing.
  await compose.must(['create', '--no-recreate', 'postgres', 'redis']);
  const target = chooseTarget((await readRepository(context)).backups, from, at);
  await confirm(context, target);

  await closedFor(places, async () => {
    const services = await report.step('stop', 'Stop everything that uses the database', () => stopUsers(context));
    await report.step('archive', 'Archive what was written last', () => archiveLast(context));
    await compose.must(['stop', 'postgres']);
    const aside = await moveAside(context);
    try {
      await report.step('restore', `Restore ${target.backup.label} from place ${target.backup.place}`, async () => {
        await bringBack(context, target);
        await untilRecovered(context);
      });
    } catch (error) {
      if (aside)
        await report.step('put-back', 'Put the database back that was there', () => goBack(context, aside, services));
      throw error;
    }
    const restoredTo = await lastCommit(context, target);
    const manifest = await report.step('verify', 'Bring roles and schema up to the release, verify the audit log', () =>
      makeUsable(context),
    );
    report.note(
      `${totalRows(manifest)} rows in ${Object.keys(manifest.tables).length} tables, as of ${restoredTo.toISOString()}`,
    );
    await report.step('end-sessions', 'End every session of before', () => endSessions(context, target));
    await tellRevoked(context, aside, restoredTo);
    await report.step('start', 'Start what was stopped', () => start(context, services));
  });
  await report.step('backup', 'Take a full backup of the restored database', () => takeBackup(context, 'full'));
  await removeAsides(context);
}

async function confirm(context: Context, { backup, at }: RestoreTarget): Promise<void> {
  const bytes = await clusterBytes(context);
  await confirmDestruction(context, 'The database is replaced; everybody is signed out and nobody gets in meanwhile.', {
    database: `${megabytes(bytes)} on this host, replaced by`,
    backup: `${backup.label}, ${megabytes(backup.bytes)}, of ${backup.endedAt.toISOString()}, from place ${backup.place}`,
    until: at ? `${at.toISOString()}: what was written later is lost` : 'the end of the archive',
  });
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;

/** Stops both colours and the scheduler; returns what ran, or what the live release has when nothing did. */
async function stopUsers({ compose, places }: Context): Promise<string[]> {
  const users = [...servicesOf('blue'), ...servicesOf('green')];
  const running = (await compose.containers(users)).filter(({ state }) => state === 'running');
  if (running.length > 0) await compose.must(['stop', ...new Set(running.map(({ service }) => service))]);
  await compose.must(['stop', 'backup']);
  const live = readLive(places);
  const services = running.length > 0 ? running.map(({ service }) => service) : live ? servicesOf(live.colour) : [];
  return [...new Set(services)];
}

/** So that a restore to the end loses nothing, and one to a moment finds a change after it that tells it to stop. */
async function archiveLast(context: Context): Promise<void> {
  try {
    await psql(context, `select pg_logical_emit_message(true, 'gatehouse', 'before a restore')`, 'postgres');
    await markRestorePoint(context, 'before-restore');
  } catch {
    context.report.warn('Postgres does not answer or does not archive: the restore ends with what the archive has.');
  }
}

async function bringBack(context: Context, target: RestoreTarget): Promise<void> {
  const volume = ['-v', `${volumeOf(context, 'postgres-data')}:/var/lib/postgresql/data`];
  const command = ['run', '--rm', ...repositoryOptions(context, 'ro'), ...volume, databaseImage(context)];
  const script = 'mkdir -p "$PGDATA" && chmod 700 "$PGDATA" && exec pgbackrest restore "$@"';
  const result = await run('docker', [...command, 'bash', '-euc', script, 'bash', ...restoreOptions(target)]);
  if (result.code === 0) return;
  throw new Failure(
    EXIT.backup,
    `Backup ${target.backup.label} could not be restored`,
    lines(result.stdout + result.stderr),
  );
}

/** Starts Postgres and waits until it has replayed the archive and writes again. */
async function untilRecovered(context: Context): Promise<void> {
  const { compose } = context;
  // Not `--wait`: replaying may take longer than a health check waits.
  await compose.must(['up', '-d', '--no-deps', '--no-build', '--force-recreate', 'postgres']);
  const deadline = Date.now() + RECOVERY_TIMEOUT_MS;
  for (;;) {
    const id = await findContainer(context, 'postgres');
    const answer = id ? await psqlIn(id, 'select pg_is_in_recovery()', 'postgres').catch(() => '') : '';
    if (answer === 'f') break;
    const [container] = await compose.containers(['postgres']);
    if ((container?.restarts ?? 0) > 1 || container?.state === 'exited' || Date.now() > deadline) {
      const log = await compose.run(['logs', '--no-color', '--no-log-prefix', '--tail', '15', 'postgres']);
      throw new Failure(EXIT.backup, 'The restored database does not start', lines(log.stdout + log.stderr));
    }
    await delay(RECOVERY_POLL_MS);
  }
  await compose.must([
    'up',
    '-d',
    '--no-deps',
    '--no-recreate',
    '--wait',
    '--wait-timeout',
    String(HEALTHY_WITHIN_S),
    'postgres',
    'redis',
  ]);
}

const lines = (text: string) => text.trim().split('\n').slice(-12);

async function goBack(context: Context, aside: string, services: readonly string[]): Promise<void> {
  await context.compose.must(['rm', '-sf', 'postgres']);
  await putBack(context, aside);
  await untilRecovered(context);
  await start(context, services);
  context.report.warn('The database is the one of before. `make maintenance-off` opens the platform again.');
}

/** The last change that is there: from here on things are missing. */
async function lastCommit(context: Context, { at }: RestoreTarget): Promise<Date> {
  if (at) return at;
  const text = await psql(
    context,
    `select to_char(coalesce(pg_last_xact_replay_timestamp(), max(l.sealed_at), now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
     from audit.log l`,
  ).catch(() => '');
  return text ? new Date(text) : new Date();
}

/** Passwords may have been changed since the backup: the secrets of today hold. Throws when the audit log does not. */
async function makeUsable(context: Context): Promise<Manifest> {
  const id = await findContainer(context, 'postgres');
  if (!id) throw new Failure(EXIT.backup, 'Postgres does not run');
  await must('docker', ['exec', '-i', id, 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres'], {
    input: PASSWORDS,
  });
  await migrateDatabase(context, { contract: false });
  const manifest = await readManifest(context.compose, { verify: true });
  if (manifest.chain?.intact !== false) return manifest;
  throw new Failure(EXIT.backup, `The audit log of the restored database does not hold: ${manifest.chain.problem}`, [
    'The platform stays closed. Restore an earlier moment (AT=…), or open it as it is with make maintenance-off.',
  ]);
}

const PASSWORDS = `
\\set superuser \`cat /run/secrets/POSTGRES_PASSWORD\`
\\set monitor \`cat /run/secrets/MONITOR_DATABASE_PASSWORD\`
alter role postgres password :'superuser';
alter role monitor password :'monitor';
`;

async function endSessions(context: Context, { backup, at }: RestoreTarget): Promise<void> {
  const { sessions } = await schemaJob<{ sessions: number; keys: number }>(context, 'deploy/jobs/after-restore.ts', []);
  context.report.note(`${sessions} sessions ended; Redis emptied, jobs are queued again from the database`);
  await recordDeployEvent(context, { command: 'restore', backup: backup.label, at: at?.toISOString() ?? null });
}

async function tellRevoked(context: Context, aside: string | undefined, since: Date): Promise<void> {
  const revoked = aside ? await revokedSince(context, aside, since) : undefined;
  if (!revoked)
    return context.report.warn(
      `The database that was there cannot be read: keys and accounts that were revoked after ${since.toISOString()} are valid again, and nothing tells which.`,
    );
  if (revoked.length === 0) return context.report.note('nothing was revoked after the restored moment');
  context.report.show('revived', { since: since.toISOString(), revoked }, [
    `Revoked or taken away after ${since.toISOString()}, and valid again. Do it again:`,
    ...revoked.map((line) => `  ${line}`),
  ]);
}

async function start({ compose }: Context, services: readonly string[]): Promise<void> {
  const wait = ['--wait', '--wait-timeout', String(HEALTHY_WITHIN_S)];
  await compose.must(['up', '-d', '--no-deps', '--no-build', '--no-recreate', ...wait, 'backup', ...services]);
}
