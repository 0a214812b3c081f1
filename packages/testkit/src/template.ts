import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readMigrations } from '@gatehouse/kit/migration-files';
import {
  type DatabaseRole,
  MIGRATION_UNITS,
  MIGRATOR_ROLE,
  migrate,
  provision,
  SERVICE_ROLES,
} from '@gatehouse/kit/migrations';
import pg from 'pg';
import { currentRun } from './run.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** The password of every role in a test's cluster; long enough for the settings of a process that a test starts. */
export const TEST_PASSWORD = 'only-for-the-cluster-of-one-test-run';
/** All passwords that provision asks for. */
export const TEST_PASSWORDS = Object.fromEntries(
  [MIGRATOR_ROLE, ...SERVICE_ROLES].map((role) => [role, TEST_PASSWORD]),
) as Record<DatabaseRole, string>;

export type UnitName = (typeof MIGRATION_UNITS)[number]['unit'];

const TEMPLATE_LOCK = 4_741_003;

/** Runs `work` with an administrator's connection to the database `postgres`. */
export async function asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ ...currentRun().postgres, database: 'postgres' });
  admin.on('error', () => undefined);
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}

/** The name of the database that tests clone; whoever comes first builds it, the others wait. */
export async function template(admin: pg.Client, names: readonly UnitName[] | undefined): Promise<string> {
  const units = MIGRATION_UNITS.filter(({ unit }) => !names || names.includes(unit));
  const name = `template_${fingerprint(units.map(({ dir }) => join(ROOT, dir)))}`;
  await admin.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
  try {
    const { rowCount } = await admin.query('select from pg_database d where d.datname = $1', [name]);
    if (rowCount) return name;
    const partial = `${name}_partial`;
    await admin.query(`drop database if exists ${partial} with (force)`);
    await provision(admin, { database: partial, passwords: TEST_PASSWORDS });
    const { host, port } = currentRun().postgres;
    const migrator = { host, port, database: partial, user: MIGRATOR_ROLE, password: TEST_PASSWORD };
    await migrate(migrator, { root: ROOT, units });
    // A template that takes no connections can always be cloned. Its new name says that it is whole.
    await admin.query(`alter database ${partial} with allow_connections false`);
    await admin.query(`alter database ${partial} rename to ${name}`);
    return name;
  } finally {
    await admin.query('select pg_advisory_unlock($1)', [TEMPLATE_LOCK]);
  }
}

function fingerprint(dirs: string[]): string {
  const hash = createHash('sha256');
  for (const dir of dirs)
    for (const { name, checksum } of readMigrations(dir)) hash.update(`${dir}/${name} ${checksum}\n`);
  for (const file of ['provision.ts', 'migrate.ts']) hash.update(readFileSync(join(ROOT, 'packages/kit/src', file)));
  return hash.digest('hex').slice(0, 16);
}
