import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { ConnectionSettings } from './db.ts';
import {
  MIGRATION_UNITS,
  type Migration,
  type MigrationKind,
  type MigrationUnit,
  readMigrations,
  SchemaError,
  statementsOf,
} from './migration-files.ts';
import { type AppliedMigration, pendingMigrations } from './migration-state.ts';
import { SERVICE_ROLES } from './provision.ts';

export interface MigrateOptions {
  /** Root of the repository. */
  root: string;
  /** Other units than the repository's own. */
  units?: readonly MigrationUnit[];
  /** How long a statement may wait for a lock, and so make others wait behind it. */
  lockTimeoutMs?: number;
  /** How often a migration that did not get its lock is tried. */
  attempts?: number;
  /** Time between two such tries. */
  retryMs?: number;
  /** Receives one line per migration. */
  onProgress?: (line: string) => void;
}

export interface MigrationStatus {
  unit: string;
  name: string;
  kind: MigrationKind;
  state: 'applied' | 'pending' | 'unknown';
  applied_at: Date | null;
}

type Querier = Pick<pg.Client, 'query'>;

const MIGRATION_LOCK = 4_741_002;
const MIGRATION_LOCK_WAIT_MS = 600_000;
const LOCK_POLL_MS = 200;
// A concurrent index waits for every older transaction, and holds up nobody while it does.
const CONCURRENT_LOCK_TIMEOUT_MS = 600_000;
const BUSY = new Set(['55P03', '40P01']);

/**
 * Brings the schema up to this release and tells what it applied. One migrator runs at a time; each file and its record
 * are one transaction, so that one killed anywhere converges when it runs again. Throws SchemaError on a file that was
 * changed after it was applied, on a gap, and on a schema that is newer by more than expansions.
 */
export async function migrate(settings: ConnectionSettings, options: MigrateOptions): Promise<string[]> {
  return asMigrator(settings, async (client) => {
    const applied: string[] = [];
    for (const unit of options.units ?? MIGRATION_UNITS) applied.push(...(await migrateUnit(client, unit, options)));
    return applied;
  });
}

/** Runs on a session that alone may migrate. */
async function asMigrator<T>(settings: ConnectionSettings, work: (client: Querier) => Promise<T>): Promise<T> {
  const { tls, ...connection } = settings;
  const client = new pg.Client({ ...connection, ssl: tls === true, application_name: 'gatehouse-migrate' });
  // Its loss is reported by the statement that runs.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await takeLock(client);
    await prepare(client);
    return await work(client);
  } finally {
    // Ending the session gives the lock back.
    await client.end().catch(() => undefined);
  }
}

/**
 * Records every migration as applied without running any, and tells which: for a database that has the schema of this
 * release from elsewhere, which the caller has made sure of. Throws SchemaError when something is recorded already.
 */
export async function baseline(
  settings: ConnectionSettings,
  { root, units = MIGRATION_UNITS }: Pick<MigrateOptions, 'root' | 'units'>,
): Promise<string[]> {
  return asMigrator(settings, async (client) => {
    const recorded: string[] = [];
    await client.query('begin');
    const { rows } = await client.query('select count(*)::integer as count from migrations.applied');
    if (rows[0].count > 0) throw new SchemaError(`${rows[0].count} migrations are recorded already; migrate instead`);
    for (const { unit, dir } of units)
      for (const migration of readMigrations(join(root, dir))) {
        await record(client, unit, migration);
        recorded.push(`${unit}/${migration.name}`);
      }
    await client.query('commit');
    return recorded;
  });
}

/** What is applied and what is to come, unit by unit. */
export async function status(
  client: Querier,
  { root, units = MIGRATION_UNITS }: Pick<MigrateOptions, 'root' | 'units'>,
) {
  const all: MigrationStatus[] = [];
  for (const { unit, dir } of units) {
    const known = readMigrations(join(root, dir));
    const applied = await listApplied(client, unit);
    for (const { version, name, kind, applied_at } of applied)
      all.push({
        unit,
        name,
        kind,
        state: known.some((file) => file.version === version) ? 'applied' : 'unknown',
        applied_at,
      });
    for (const { version, name, kind } of known)
      if (!applied.some((record) => record.version === version))
        all.push({ unit, name, kind, state: 'pending', applied_at: null });
  }
  return all;
}

/** Asked for again and again: one that waits inside Postgres holds a snapshot, for which a concurrent index waits. */
async function takeLock(client: Querier): Promise<void> {
  const deadline = Date.now() + MIGRATION_LOCK_WAIT_MS;
  for (;;) {
    const { rows } = await client.query('select pg_try_advisory_lock($1) as taken', [MIGRATION_LOCK]);
    if (rows[0].taken) return;
    if (Date.now() > deadline) throw new SchemaError('another migration has been running for ten minutes');
    await delay(LOCK_POLL_MS);
  }
}

async function prepare(client: Querier): Promise<void> {
  // Data migrations see every organization, and a long one is no mistake.
  await client.query(`set gatehouse.platform = 'on'; set statement_timeout = 0`);
  const { rows } = await client.query(`select to_regclass('migrations.applied') is not null as there`);
  if (rows[0].there) return;
  await client.query(`
    begin;
    create schema if not exists migrations;
    create table migrations.applied (
      unit text not null,
      version integer not null,
      name text not null,
      checksum text not null,
      kind text not null default 'contract' constraint applied_kind_check check (kind in ('expand', 'contract')),
      applied_at timestamptz(3) not null default clock_timestamp(),
      constraint applied_pkey primary key (unit, version)
    );
    grant usage on schema migrations to ${SERVICE_ROLES.join(', ')};
    grant select on migrations.applied to ${SERVICE_ROLES.join(', ')};
    commit`);
}

async function migrateUnit(client: Querier, { unit, dir, schemas }: MigrationUnit, options: MigrateOptions) {
  const pending = pendingMigrations(unit, readMigrations(join(options.root, dir)), await listApplied(client, unit));
  for (const migration of pending) {
    const startedAt = performance.now();
    await patiently(options, () =>
      migration.transactional
        ? applyInTransaction(client, unit, migration, options.lockTimeoutMs ?? 800)
        : applyOutside(client, unit, migration, schemas),
    );
    options.onProgress?.(`${unit}/${migration.name} (${Math.round(performance.now() - startedAt)} ms)`);
  }
  return pending.map(({ name }) => `${unit}/${name}`);
}

async function applyInTransaction(client: Querier, unit: string, migration: Migration, lockTimeoutMs: number) {
  try {
    await client.query(`begin; set local lock_timeout = ${lockTimeoutMs}`);
    await client.query(migration.text);
    await record(client, unit, migration);
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') throw new SchemaError(`${unit}/${migration.name} rolled itself back`);
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw named(error, unit, migration);
  }
}

async function applyOutside(client: Querier, unit: string, migration: Migration, schemas: readonly string[]) {
  const statements = statementsOf(migration);
  try {
    await client.query(`set lock_timeout = ${CONCURRENT_LOCK_TIMEOUT_MS}`);
    await dropInvalidIndexes(client, schemas);
    for (const statement of statements) await client.query(statement);
    await record(client, unit, migration);
  } catch (error) {
    throw named(error, unit, migration);
  } finally {
    await client.query('reset lock_timeout').catch(() => undefined);
  }
}

/** A concurrent build that failed leaves an index that costs writes and serves no query; "if not exists" would keep it. */
async function dropInvalidIndexes(client: Querier, schemas: readonly string[]): Promise<void> {
  const { rows } = await client.query(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where not i.indisvalid and c.relkind = 'i' and n.nspname = any($1)`,
    [schemas],
  );
  for (const { name } of rows) await client.query(`drop index concurrently if exists ${name}`);
}

async function record(client: Querier, unit: string, { version, name, checksum, kind }: Migration): Promise<void> {
  await client.query(
    'insert into migrations.applied (unit, version, name, checksum, kind) values ($1, $2, $3, $4, $5)',
    [unit, version, name, checksum, kind],
  );
}

async function listApplied(client: Querier, unit: string): Promise<(AppliedMigration & { applied_at: Date })[]> {
  const { rows: there } = await client.query(`select to_regclass('migrations.applied') is not null as it`);
  if (!there[0].it) return [];
  const { rows } = await client.query(
    `select a.version, a.name, a.checksum, a.kind, a.applied_at from migrations.applied a
     where a.unit = $1 order by a.version`,
    [unit],
  );
  return rows;
}

async function patiently(
  { attempts = 40, retryMs = 2_000 }: Pick<MigrateOptions, 'attempts' | 'retryMs'>,
  apply: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await apply();
    } catch (error) {
      const code = error instanceof Error ? (error.cause as { code?: string } | undefined)?.code : undefined;
      if (!BUSY.has(code ?? '') || attempt >= attempts) throw error;
    }
    await delay(retryMs);
  }
}

function named(error: unknown, unit: string, { name, text }: Migration): Error {
  if (error instanceof SchemaError) return error;
  const { message, position } = error as { message: string; position?: string };
  const line = position ? `, line ${text.slice(0, Number(position)).split('\n').length}` : '';
  return new Error(`${unit}/${name}${line}: ${message}`, { cause: error });
}
