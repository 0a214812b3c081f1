import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { many, type Pool, sqlState } from './db.ts';
import { readMigrations, SchemaError } from './migration-files.ts';
import { type AppliedMigration, pendingMigrations } from './migration-state.ts';

export { baseline, type MigrateOptions, type MigrationStatus, migrate, status } from './migrate.ts';
export { MIGRATION_UNITS, type MigrationUnit, SchemaError } from './migration-files.ts';
export { type DatabaseRole, MIGRATOR_ROLE, type ProvisionOptions, provision, SERVICE_ROLES } from './provision.ts';

const Applied = z.object({
  version: z.number(),
  name: z.string(),
  checksum: z.string(),
  kind: z.enum(['expand', 'contract']),
});
const PLATFORM = fileURLToPath(new URL('../migrations', import.meta.url));
const UNDEFINED_TABLE = '42P01';

/**
 * Throws SchemaError when this release does not know the database's schema: older or changed, or newer by more than
 * expansions. `dir` holds the unit's migrations; the platform's own are checked with them. Throws
 * `dependency_unavailable` while there is no database.
 */
export async function schemaCheck(pool: Pool, unit: string, dir: string): Promise<void> {
  await checkUnit(pool, 'platform', PLATFORM);
  if (unit !== 'platform') await checkUnit(pool, unit, dir);
}

async function checkUnit(pool: Pool, unit: string, dir: string): Promise<void> {
  const [next] = pendingMigrations(unit, readMigrations(dir), await listApplied(pool, unit));
  if (next)
    throw new SchemaError(`the schema is older than this release: ${unit}/${next.name} is not applied; migrate first`);
}

async function listApplied(pool: Pool, unit: string): Promise<AppliedMigration[]> {
  try {
    return await many(pool, Applied)`
      select a.version, a.name, a.checksum, a.kind from migrations.applied a where a.unit = ${unit} order by a.version`;
  } catch (error) {
    if (sqlState(error) === UNDEFINED_TABLE) return [];
    throw error;
  }
}
