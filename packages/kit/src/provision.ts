import pg from 'pg';
import { scramVerifier } from './scram.ts';

/** The roles that a process logs in with. They own nothing: each may do what migrations grant it. */
export const SERVICE_ROLES = [
  'gatehouse_auth',
  'gatehouse_org',
  'gatehouse_audit',
  'gatehouse_worker',
  'gatehouse_gateway',
] as const;
/** Owns every schema; only the migration job logs in with it. */
export const MIGRATOR_ROLE = 'gatehouse_migrator';
export type DatabaseRole = (typeof SERVICE_ROLES)[number] | typeof MIGRATOR_ROLE;

export interface ProvisionOptions {
  /** Name of the database to make. */
  database: string;
  passwords: Record<DatabaseRole, string>;
}

// Read by humans as a number, by Postgres as a key: any constant serves that no one else takes.
const PROVISION_LOCK = 4_741_001;
// Also kept by the roles themselves, for whoever connects by another way than the pool.
const LIMITS = { statement_timeout: '5s', lock_timeout: '2s', idle_in_transaction_session_timeout: '10s' };

/**
 * Makes the roles and the database, or brings them back to what they should be; may run again at any time.
 * The client is an administrator's, connected to a database that always exists (`postgres`).
 */
export async function provision(admin: pg.Client, { database, passwords }: ProvisionOptions): Promise<void> {
  await admin.query('select pg_advisory_lock($1)', [PROVISION_LOCK]);
  try {
    for (const role of [MIGRATOR_ROLE, ...SERVICE_ROLES] as const) await provisionRole(admin, role, passwords[role]);
    await provisionDatabase(admin, database);
    await allowDoors(admin);
  } finally {
    await admin.query('select pg_advisory_unlock($1)', [PROVISION_LOCK]);
  }
}

async function provisionRole(admin: pg.Client, role: DatabaseRole, password: string): Promise<void> {
  const { rowCount } = await admin.query('select from pg_roles r where r.rolname = $1', [role]);
  if (rowCount === 0) await admin.query(`create role ${role}`);
  await admin.query(`alter role ${role} with login password ${pg.escapeLiteral(scramVerifier(password))}`);
  // Every name in our SQL is qualified; with an empty path nothing else can be slipped in.
  await admin.query(`alter role ${role} set search_path = ''`);
  if (role === MIGRATOR_ROLE) return;
  for (const [name, value] of Object.entries(LIMITS)) await admin.query(`alter role ${role} set ${name} = '${value}'`);
}

async function provisionDatabase(admin: pg.Client, database: string): Promise<void> {
  const name = pg.escapeIdentifier(database);
  const { rowCount } = await admin.query('select from pg_database d where d.datname = $1', [database]);
  if (rowCount === 0) {
    // An administrator that is no superuser (a managed database) must be a member of the owner.
    await admin.query(`grant ${MIGRATOR_ROLE} to current_user`);
    await admin.query(`create database ${name} owner ${MIGRATOR_ROLE} template template0 encoding 'UTF8'`);
  }
  await admin.query(`alter database ${name} set timezone = 'UTC'`);
  await admin.query(`revoke all on database ${name} from public`);
  await admin.query(`grant connect on database ${name} to ${SERVICE_ROLES.join(', ')}`);
}

/** Lets the migrator write functions that set what row-level security goes by, for as long as the function runs. */
async function allowDoors(admin: pg.Client): Promise<void> {
  await admin.query(`grant set on parameter gatehouse.platform, gatehouse.org_id to ${MIGRATOR_ROLE}`);
}
