import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionSettings, openPool, type Pool } from '@gatehouse/kit/db';
import { provision } from '@gatehouse/kit/migrations';
import { currentRun } from './run.ts';
import { asAdmin, TEST_PASSWORD, TEST_PASSWORDS, template, type UnitName } from './template.ts';

/** Who connects: a service, the migrator that owns the schemas, or the superuser that row-level security does not bind. */
export type TestRole = 'auth' | 'org' | 'audit' | 'worker' | 'gateway' | 'migrator' | 'admin';

export interface TestDatabaseOptions {
  /** Only these units' migrations; all of them when left out. */
  units?: readonly UnitName[];
  /** Roles and a database, and no migration run. */
  empty?: boolean;
}

export interface TestDatabase {
  name: string;
  connection(role: TestRole): ConnectionSettings;
  /** A pool for the role, the same one at every call. */
  pool(role: TestRole): Pool;
  /** Ends the pools and drops the database. */
  close(): Promise<void>;
}

/** A database of its own for a test file: a clone of the migrated template, in some 50 ms. Close it in `afterAll`. */
export async function testDatabase({ units, empty = false }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `test_${process.pid}_${randomBytes(4).toString('hex')}`;
  await asAdmin(async (admin) => {
    if (empty) return provision(admin, { database: name, passwords: TEST_PASSWORDS });
    const source = await template(admin, units);
    await admin.query(`create database ${name} template ${source} strategy file_copy`);
    // Cloning copies the data but not the rights on the database itself.
    await provision(admin, { database: name, passwords: TEST_PASSWORDS });
  });
  const { host, port, user, password } = currentRun().postgres;
  const connection = (role: TestRole): ConnectionSettings => ({
    host,
    port,
    database: name,
    ...(role === 'admin' ? { user, password } : { user: `gatehouse_${role}`, password: TEST_PASSWORD }),
  });
  const pools = new Map<TestRole, Pool>();
  return {
    name,
    connection,
    pool(role) {
      const pool = pools.get(role) ?? openPool({ ...connection(role), max: 10, name: role });
      pools.set(role, pool);
      return pool;
    },
    async close() {
      // A connection that a test forgot to release must not keep the file from ending.
      const ended = Promise.all([...pools.values()].map((pool) => pool.end().catch(() => undefined)));
      await Promise.race([ended, delay(1_000, undefined, { ref: false })]);
      await asAdmin((admin) => admin.query(`drop database if exists ${name} with (force)`));
    },
  };
}
