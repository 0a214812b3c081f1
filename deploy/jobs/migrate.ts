// `migrate.ts apply`: roles and database as they should be, then the schema of this release. `migrate.ts status`: what
// is applied and what is to come. CONTRACT=1 allows migrations that the release before this one could not live with.
import { migrate, provision, SchemaError, SERVICE_ROLES, status } from '@gatehouse/kit/migrations';
import type pg from 'pg';
import { job, migrator, ROOT, secretOf, superuser, withClient } from './database.ts';

const passwords = () => ({
  gatehouse_migrator: secretOf('MIGRATOR_DATABASE_PASSWORD'),
  ...(Object.fromEntries(
    SERVICE_ROLES.map((role) => [role, secretOf(`${role.replace('gatehouse_', '').toUpperCase()}_DATABASE_PASSWORD`)]),
  ) as Record<(typeof SERVICE_ROLES)[number], string>),
});

async function exists(database: string): Promise<boolean> {
  return withClient(superuser('postgres'), async (client) => {
    const { rowCount } = await client.query('select from pg_database d where d.datname = $1', [database]);
    return rowCount !== 0;
  });
}

/** Whether nobody has put anything into the database yet: then there is no older release to be careful of. */
async function isEmpty(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(`select to_regclass('migrations.applied') is null as nothing`);
  if (rows[0].nothing) return true;
  const { rows: found } = await client.query('select not exists (select from migrations.applied) as empty');
  return found[0].empty;
}

async function current() {
  const { database } = superuser();
  if (!(await exists(database))) return { empty: true, migrations: await emptyStatus() };
  return withClient(superuser(), async (client) => ({
    empty: await isEmpty(client),
    migrations: await status(client, { root: ROOT }),
  }));
}

/** What is pending when there is no database to ask: everything. */
async function emptyStatus() {
  const nothing = { query: async () => ({ rows: [{ it: false }] }) };
  return status(nothing as unknown as Parameters<typeof status>[0], { root: ROOT });
}

async function apply() {
  const { database } = superuser();
  await withClient(superuser('postgres'), (admin) => provision(admin, { database, passwords: passwords() }));
  const { empty, migrations } = await current();
  const contracting = migrations.filter(({ state, kind }) => state === 'pending' && kind === 'contract');
  if (contracting.length > 0 && !empty && process.env['CONTRACT'] !== '1')
    throw new SchemaError(
      `${contracting.map(({ unit, name }) => `${unit}/${name}`).join(', ')} takes something away that the release before may need; ` +
        'nothing was applied. When no release that needs it can come back, deploy with CONTRACT=1',
    );
  const applied = await migrate(migrator(), { root: ROOT, onProgress: (line) => process.stderr.write(`${line}\n`) });
  return { applied, database };
}

await job(() => {
  const [command] = process.argv.slice(2);
  if (command === 'apply') return apply();
  if (command === 'status') return current();
  throw new Error('say apply or status');
});
