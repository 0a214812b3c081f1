import { CommandError } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';

/** More names than that hide what else a deploy has to say. */
const TOLD = 10;

/** A migration of this release, and where it stands in the database. */
export interface MigrationLine {
  unit: string;
  name: string;
  kind: 'expand' | 'contract';
  state: 'applied' | 'pending' | 'unknown';
  applied_at: string | null;
}

export interface MigrationsStatus {
  /** No release has ever migrated it. */
  empty: boolean;
  migrations: MigrationLine[];
}

/** Every migration of the release and of the database. Throws Failure(EXIT.migrate). */
export async function migrationsStatus(context: Context): Promise<MigrationsStatus> {
  return schemaJob<MigrationsStatus>(context, 'deploy/jobs/migrate.ts', ['status']);
}

/** Those that `migrateDatabase` would apply. */
export async function pendingMigrations(context: Context): Promise<MigrationsStatus> {
  const { empty, migrations } = await migrationsStatus(context);
  return { empty, migrations: migrations.filter(({ state }) => state === 'pending') };
}

/** Whether the database is that of a first installation: nothing to back up, nothing to be careful of. */
export async function databaseIsEmpty(context: Context): Promise<boolean> {
  return (await migrationsStatus(context)).empty;
}

/**
 * Makes roles and database, and brings the schema up to the release; returns what was applied. A migration that takes
 * something away is applied only to an empty database or with `contract`. Throws Failure(EXIT.migrate).
 */
export async function migrateDatabase(context: Context, { contract }: { contract: boolean }): Promise<string[]> {
  const with_ = contract ? ['-e', 'CONTRACT=1'] : [];
  return (await schemaJob<{ applied: string[] }>(context, 'deploy/jobs/migrate.ts', ['apply'], with_)).applied;
}

/** Runs a job on the schema; what it says about its failure becomes the Failure's message. */
export async function schemaJob<T>(
  { compose, report }: Context,
  script: string,
  args: readonly string[],
  options: readonly string[] = [],
): Promise<T> {
  try {
    return JSON.parse(await compose.job(script, args, { with: options, onLine: told(report.note) })) as T;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const said = saidBy(error.result.stdout);
    const rest = error.result.stderr.trim().split('\n').slice(-8);
    throw new Failure(EXIT.migrate, said ?? 'The database could not be migrated', said ? [] : rest, { cause: error });
  }
}

/** Passes on the lines that name an applied migration and what it took: a release has few, an empty database gets all. */
function told(note: (text: string) => void): (line: string) => void {
  let seen = 0;
  return (line) => {
    if (!/^[a-z]+\/\d{4}_\S+ \(\d+ ms\)$/.test(line)) return;
    seen += 1;
    if (seen <= TOLD) note(line);
    if (seen === TOLD + 1) note('and more; make migrate-status lists them all');
  };
}

function saidBy(stdout: string): string | undefined {
  try {
    return (JSON.parse(stdout) as { error?: string }).error;
  } catch {
    return undefined;
  }
}
