import { databaseSettings, loadConfig, secret } from '@gatehouse/kit/config';
import { type ConnectionSettings, openPool, type Pool } from '@gatehouse/kit/db';
import { MIGRATOR_ROLE } from '@gatehouse/kit/migrations';
import pg from 'pg';
import { z } from 'zod';

const Config = z.object(databaseSettings);

/** The repository's root in the tools image, where the migrations are. */
export const ROOT = process.cwd();

/** A secret by its name, from the environment or from the file that `<NAME>_FILE` names. */
export function secretOf(name: string): string {
  const values = loadConfig(z.object({ [name]: secret({ min: 16 }) }), process.env);
  return values[name] as string;
}

/** Where the database is. A host that begins with a slash is the folder of a socket, which asks for no password. */
export function connectionOf(user: string, password: string, database?: string): ConnectionSettings {
  const config = loadConfig(Config, process.env);
  return {
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: database ?? config.DATABASE_NAME,
    user,
    password,
    tls: config.DATABASE_TLS,
  };
}

export const superuser = (database?: string): ConnectionSettings =>
  connectionOf('postgres', isSocket() ? '' : secretOf('POSTGRES_PASSWORD'), database);

export const migrator = (): ConnectionSettings =>
  connectionOf(MIGRATOR_ROLE, isSocket() ? '' : secretOf('MIGRATOR_DATABASE_PASSWORD'));

const isSocket = () => process.env['DATABASE_HOST']?.startsWith('/') === true;

/** Runs with a client of its own, which is closed whatever happens. */
export async function withClient<T>(settings: ConnectionSettings, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { tls, ...connection } = settings;
  const client = new pg.Client({ ...connection, ssl: tls === true, application_name: 'gatehouse-job' });
  // Its loss is reported by the statement that runs.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

export async function withPool<T>(settings: ConnectionSettings, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = openPool({ ...settings, max: 1, name: 'job' });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** Runs a job: its result becomes the one document on standard output, its failure a line and an exit code. */
export async function job(work: () => Promise<unknown>): Promise<void> {
  try {
    process.stdout.write(`${JSON.stringify(await work())}\n`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const text = code === 'ECONNREFUSED' || code === 'ENOTFOUND' ? `no database answers (${message})` : message;
    process.stdout.write(`${JSON.stringify({ error: text })}\n`);
    process.stderr.write(`${text}\n`);
    process.exitCode = 1;
  }
}
