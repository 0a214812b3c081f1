import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { migrate, provision } from '@gatehouse/kit/migrations';
import { type RunningPostgres, startPostgres } from '@gatehouse/testkit/postgres';
import { type RunningRedis, startRedis } from '@gatehouse/testkit/redis';
import pg from 'pg';
import type { Endings } from './endings.ts';
import type { RunState } from './run-state.ts';
import { databasePasswords, readSecret } from './secrets.ts';
import type { Settings } from './settings.ts';
import { SetupError } from './setup-error.ts';

export interface DataOptions {
  dataDir: string;
  logDir: string;
  secretsDir: string;
  settings: Settings;
  /** Whether commits survive a crash of the machine; throw-away platforms do without. */
  durable: boolean;
  endings: Endings;
  state: RunState;
}

/** Starts PostgreSQL and Redis side by side; their logs go to files. */
export async function startData(options: DataOptions): Promise<{ postgres: RunningPostgres; redis: RunningRedis }> {
  const { endings, state } = options;
  const [redis, postgres] = await Promise.allSettled([startCache(options), startDatabase(options)]);
  // Whichever of the two is there is ended with the rest, also when the other one failed.
  for (const [name, result] of Object.entries({ postgres, redis })) {
    if (result.status === 'rejected') continue;
    state.add(name, result.value.pid);
    endings.add(() => result.value.stop());
  }
  if (redis.status === 'rejected') throw asSetupError(redis.reason);
  if (postgres.status === 'rejected') throw asSetupError(postgres.reason);
  return { postgres: postgres.value, redis: redis.value };
}

function startDatabase({ dataDir, logDir, settings, durable }: DataOptions): Promise<RunningPostgres> {
  return startPostgres({
    dataDir: join(dataDir, 'postgres'),
    port: Number(settings['DATABASE_PORT']),
    durable,
    onLog: logFile(logDir, 'postgres'),
  });
}

function startCache({ dataDir, logDir, secretsDir, settings, durable }: DataOptions): Promise<RunningRedis> {
  return startRedis({
    dir: join(dataDir, 'redis'),
    port: Number(new URL(settings['REDIS_URL'] ?? '').port || 6379),
    password: readSecret(secretsDir, 'REDIS_PASSWORD'),
    appendonly: durable,
    onLog: logFile(logDir, 'redis'),
  });
}

function asSetupError(error: unknown): SetupError {
  return new SetupError((error as Error).message.replaceAll('\n', ' | '), { cause: error });
}

interface PrepareOptions extends Pick<DataOptions, 'settings' | 'secretsDir'> {
  root: string;
  /** No secret is older than this start. */
  freshSecrets: boolean;
}

/** Makes roles and database where they are not, and applies what migrations are pending; returns their names. */
export async function prepareDatabase(
  postgres: RunningPostgres,
  { settings, secretsDir, root, freshSecrets }: PrepareOptions,
): Promise<string[]> {
  const passwords = databasePasswords(secretsDir);
  const database = settings['DATABASE_NAME'] ?? 'gatehouse';
  const admin = new pg.Client({ connectionString: postgres.adminUrl });
  await admin.connect();
  try {
    if (freshSecrets) await setAside(admin, database);
    await provision(admin, {
      database,
      passwords: {
        gatehouse_auth: passwords.auth,
        gatehouse_org: passwords.org,
        gatehouse_audit: passwords.audit,
        gatehouse_worker: passwords.worker,
        gatehouse_gateway: passwords.gateway,
        gatehouse_migrator: passwords.migrator,
      },
    });
  } finally {
    await admin.end();
  }
  const { host, port } = postgres;
  const user = 'gatehouse_migrator';
  return migrate({ host, port, database, user, password: passwords.migrator, tls: false }, { root });
}

/**
 * A database whose secrets are gone is of no use: nobody can sign in to it. It is there when the data folder was
 * removed and Postgres keeps its files elsewhere, as it must for root.
 */
async function setAside(admin: pg.Client, database: string): Promise<void> {
  const { rowCount } = await admin.query('select from pg_database d where d.datname = $1', [database]);
  if (rowCount === 0) return;
  const aside = `${database}_until_${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}`;
  await admin.query(`alter database ${pg.escapeIdentifier(database)} rename to ${pg.escapeIdentifier(aside)}`);
}

function logFile(logDir: string, name: string): (line: string) => void {
  mkdirSync(logDir, { recursive: true });
  const stream = createWriteStream(join(logDir, `${name}.log`), { flags: 'a', mode: 0o600 });
  return (line) => stream.write(`${line}\n`);
}
