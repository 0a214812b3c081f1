import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError, type CommandResult, must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { parseInfo, type Repository } from './repository.ts';

const LOCKED = 50;
const LOCK_RETRY_MS = 2_000;
const LOCK_WAIT_MS = 6 * 3600_000;
const POLL_MS = 100;

/** The image that the database runs in, and that its tools come from. */
export function databaseImage({ compose }: Context): string {
  return `gatehouse/database:${compose.options.variables['DATABASE_IMAGE_TAG']}`;
}

/** The full name of a volume of the compose file. */
export const volumeOf = ({ project }: Context, name: string) => `${project}_${name}`;

/** The id of the running container of a service. */
export async function findContainer({ compose }: Context, service: string): Promise<string | undefined> {
  const containers = await compose.containers([service]);
  return containers.find(({ state }) => state === 'running')?.id;
}

/** Runs SQL as the superuser, through the server's own socket; returns what it wrote, unaligned. */
export async function psql(context: Context, sql: string, database?: string): Promise<string> {
  const id = await findContainer(context, 'postgres');
  if (!id) throw new Failure(EXIT.backup, 'Postgres does not run', ['`make status` tells what does.']);
  return psqlIn(id, sql, database ?? context.settings['DATABASE_NAME'] ?? 'gatehouse');
}

export async function psqlIn(container: string, sql: string, database: string): Promise<string> {
  const program = ['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-U', 'postgres', '-d', database];
  const text = await must('docker', ['exec', '-i', container, ...program], { input: sql });
  return text.trim();
}

/** What a container of the database image gets that reads the repository: no network unless the second place is remote. */
export function repositoryOptions(context: Context, access: 'ro' | 'rw'): string[] {
  const { places, settings } = context;
  const remote = settings['BACKUP_SECOND_PLACE']?.startsWith('s3:') === true;
  const secrets = remote ? ['BACKUP_CIPHER', 'BACKUP_S3_KEY', 'BACKUP_S3_KEY_SECRET'] : ['BACKUP_CIPHER'];
  const keys = ['BACKUP_SECOND_PLACE', 'BACKUP_S3_ENDPOINT', 'BACKUP_S3_REGION', 'BACKUP_S3_URI_STYLE'];
  return [
    ...['--read-only', '--user', '999:999', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
    ...['--pids-limit', '256', '--memory', '1g', '--tmpfs', '/tmp:size=64m,mode=1777,noexec,nosuid,nodev'],
    ...['--network', remote ? `${context.project}_egress` : 'none', '--log-opt', 'max-size=10m'],
    ...['-v', `${volumeOf(context, 'backup-repository')}:/var/lib/pgbackrest:${access}`],
    ...['-v', `${places.backups}:/backups:${access}`],
    ...secrets.flatMap((name) => ['-v', `${join(places.secrets, 'postgres', name)}:/run/secrets/${name}:ro`]),
    ...keys.flatMap((key) => (settings[key] ? ['-e', `${key}=${settings[key]}`] : [])),
  ];
}

/** Runs pgBackRest where its locks are: in the backup container while there is one, else in one of its own. */
export async function pgbackrest(context: Context, args: readonly string[]): Promise<CommandResult> {
  const deadline = Date.now() + LOCK_WAIT_MS;
  let waiting = false;
  for (;;) {
    const id = await findContainer(context, 'backup');
    const volumes = ['postgres-data:/var/lib/postgresql/data:ro', 'postgres-socket:/var/run/postgresql'];
    const alone = [
      'run',
      '--rm',
      ...repositoryOptions(context, 'rw'),
      ...volumes.flatMap((one) => ['-v', volumeOf(context, one)]),
    ];
    const command = id ? ['exec', id] : [...alone, databaseImage(context)];
    const result = await run('docker', [...command, 'pgbackrest', ...args]);
    // The scheduler's own backup runs; two at once would expire each other's files.
    if (result.code !== LOCKED || Date.now() > deadline) return result;
    if (!waiting) context.report.note('Waiting for the backup that the schedule has begun');
    waiting = true;
    await delay(LOCK_RETRY_MS);
  }
}

export async function mustPgbackrest(context: Context, args: readonly string[]): Promise<string> {
  const result = await pgbackrest(context, args);
  if (result.code !== 0) throw new CommandError('pgbackrest', args, result);
  return result.stdout;
}

/** Every backup in both places, whether Postgres runs or not. */
export async function readRepository(context: Context): Promise<Repository> {
  return parseInfo(await mustPgbackrest(context, ['info', '--output=json']));
}

/**
 * Marks this moment in the write-ahead log, and waits until the log up to it is archived in both places. Returns the
 * name that a restore can go to.
 */
export async function markRestorePoint(context: Context, reason: string): Promise<string> {
  const name = `${reason}-${new Date().toISOString().replace(/[^0-9T]/g, '')}`;
  const file = await psql(
    context,
    `select pg_walfile_name(pg_create_restore_point('${name}'));
     do $$ begin perform pg_switch_wal(); end $$`,
    'postgres',
  );
  await archived(context, file);
  return name;
}

/** Waits until a WAL file is archived; says why it is not when that takes longer than it may. */
export async function archived(context: Context, file: string, waitMs = 120_000): Promise<void> {
  const deadline = Date.now() + waitMs;
  // The name begins with the timeline, which a restore changes.
  const sql = `select coalesce(substr(a.last_archived_wal, 9, 16) >= '${file.slice(8)}', false) from pg_stat_archiver a`;
  while ((await psql(context, sql, 'postgres')) !== 't') {
    if (Date.now() > deadline)
      throw new Failure(
        EXIT.backup,
        `The write-ahead log is not being archived: ${file} has waited for ${waitMs / 1000} s`,
        ['Is there room in both places of the backups? `make logs S=postgres` says what archive_command met.'],
      );
    await delay(POLL_MS);
  }
}
