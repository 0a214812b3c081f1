import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import {
  baseline,
  MIGRATION_UNITS,
  type MigrateOptions,
  migrate,
  SchemaError,
  schemaCheck,
  status,
} from './migrations.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PLATFORM = MIGRATION_UNITS.filter(({ unit }) => unit === 'platform');
const KIT_MIGRATIONS = join(ROOT, 'packages/kit/migrations');

let database: TestDatabase;
let admin: pg.Client;
let root: string;

beforeEach(async () => {
  database = await testDatabase({ empty: true });
  admin = new pg.Client(database.connection('admin'));
  admin.on('error', () => undefined);
  await admin.connect();
  root = mkdtempSync(join(tmpdir(), 'gatehouse-migrations-'));
  mkdirSync(join(root, 'sample'));
});
afterEach(async () => {
  await admin.end();
  await database.close();
  rmSync(root, { recursive: true });
});

const SAMPLE = [{ unit: 'sample', dir: 'sample', schemas: ['sample'] }];
const write = (name: string, text: string) => writeFileSync(join(root, 'sample', name), text);
const remove = (name: string) => rmSync(join(root, 'sample', name));
const up = (options: Partial<MigrateOptions> = {}) =>
  migrate(database.connection('migrator'), { root, units: SAMPLE, retryMs: 50, ...options });
const platformUp = () => migrate(database.connection('migrator'), { root: ROOT, units: PLATFORM });
const check = async () => {
  await platformUp();
  return schemaCheck(database.pool('org'), 'sample', join(root, 'sample'));
};

describe('migrate', () => {
  test('applies what is pending, in order, once', async () => {
    write('0001_schema.sql', '-- expand\ncreate schema sample;');
    write('0002_table.sql', 'create table sample.things (id integer);');
    expect(await up()).toEqual(['sample/0001_schema.sql', 'sample/0002_table.sql']);
    expect(await up()).toEqual([]);
    write('0003_column.sql', 'alter table sample.things add name text;');
    const list = await status(admin, { root, units: SAMPLE });
    expect(list.map(({ name, kind, state }) => [name, kind, state])).toEqual([
      ['0001_schema.sql', 'expand', 'applied'],
      ['0002_table.sql', 'contract', 'applied'],
      ['0003_column.sql', 'contract', 'pending'],
    ]);
  });

  test('refuses a file that was changed after it was applied, a number used twice and one that comes too late', async () => {
    write('0002_schema.sql', 'create schema sample;');
    await up();
    write('0001_late.sql', 'create table sample.late (id integer);');
    await expect(up()).rejects.toThrow('sample/0001_late.sql has a lower number than one already applied (2)');
    remove('0001_late.sql');
    write('0002_again.sql', 'select 1;');
    await expect(up()).rejects.toThrow('have the same number');
    remove('0002_again.sql');
    write('0002_schema.sql', 'create schema sample; -- changed');
    await expect(up()).rejects.toThrow('sample/0002_schema.sql was changed after it was applied');
  });

  test('a baseline records what is there from elsewhere, runs nothing, and is taken once', async () => {
    write('0001_schema.sql', 'create schema sample;');
    write('0002_table.sql', 'create table sample.things (id integer);');
    const take = () => baseline(database.connection('migrator'), { root, units: SAMPLE });
    expect(await take()).toEqual(['sample/0001_schema.sql', 'sample/0002_table.sql']);
    const { rows } = await admin.query(`select to_regclass('sample.things') as things`);
    expect(rows).toEqual([{ things: null }]);
    expect(await up()).toEqual([]);
    await expect(take()).rejects.toThrow('2 migrations are recorded already');
  });

  test('a failing file leaves nothing behind and says where it failed', async () => {
    write('0001_broken.sql', 'create schema sample;\ncreate table sample.things (id intejer);');
    await expect(up()).rejects.toThrow(/sample\/0001_broken.sql, line 2: type "intejer" does not exist/);
    expect((await admin.query(`select from pg_namespace where nspname = 'sample'`)).rowCount).toBe(0);
  });

  test('F43: killed at each statement of the platform, it converges on the same schema', async () => {
    const reference = await testDatabase({ units: ['platform'] });
    const expected = await describeSchema(reference.connection('admin'));
    await reference.close();
    await armKiller(admin);
    let kills = 0;
    let done = 0;
    for (let at = 1; ; at++) {
      await admin.query(`select setval('killer.step', 1, false), setval('killer.at', $1)`, [at]);
      try {
        await platformUp();
        break;
      } catch {
        kills++;
      }
      const recorded = await watchRecords(admin);
      // The next run starts behind what is committed: its first statement is the next one to be killed at.
      if (recorded > done) at = 0;
      done = recorded;
    }
    // Fewer would mean that the killer missed some.
    expect(kills).toBeGreaterThan(30);
    await admin.query('drop event trigger killer; drop schema killer cascade');
    expect(await describeSchema(database.connection('admin'))).toEqual(expected);
    expect(await platformUp()).toEqual([]);
  });

  // Guards the advisory lock: without it the second one fails on what the first one made.
  test('F43: of four migrators at once one migrates and the others find it done', async () => {
    write('0001_schema.sql', 'create schema sample; select pg_sleep(0.3);');
    write('0002_table.sql', 'create table sample.things (id integer);');
    const applied = await Promise.all([up(), up(), up(), up()]);
    expect(applied.map((names) => names.length).sort()).toEqual([0, 0, 0, 2]);
  });

  test('F43: two migrators at once do not stand in the way of a concurrent index', async () => {
    write('0001_schema.sql', 'create schema sample; create table sample.things (id integer);');
    write(
      '0002_index.sql',
      '-- no-transaction\ncreate index concurrently if not exists things_id on sample.things (id);',
    );
    const applied = await Promise.all([up(), up()]);
    expect(applied.flat()).toHaveLength(2);
  });

  test('F43: a concurrent index that failed is built anew, and none is left invalid', async () => {
    write('0001_schema.sql', 'create schema sample; create table sample.things (id integer);');
    await up();
    await admin.query('insert into sample.things values (1), (1)');
    write(
      '0002_index.sql',
      '-- no-transaction\n-- expand\ncreate unique index concurrently if not exists things_id on sample.things (id);',
    );
    await expect(up()).rejects.toThrow('could not create unique index "things_id"');
    expect(await invalidIndexes()).toBe(1);
    await admin.query('delete from sample.things where ctid = (select min(ctid) from sample.things)');
    expect(await up()).toEqual(['sample/0002_index.sql']);
    expect(await invalidIndexes()).toBe(0);
    expect((await admin.query(`select from pg_indexes where indexname = 'things_id'`)).rowCount).toBe(1);
  });

  test('F43: a concurrent index killed while it waits is built anew', async () => {
    write('0001_schema.sql', 'create schema sample; create table sample.things (id integer);');
    await up();
    const holder = new pg.Client(database.connection('admin'));
    await holder.connect();
    await holder.query('begin; insert into sample.things values (1)');
    write(
      '0002_index.sql',
      '-- no-transaction\ncreate index concurrently if not exists things_id on sample.things (id);',
    );
    const killed = up().catch((error: unknown) => error);
    while ((await invalidIndexes()) === 0) await delay(10);
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'gatehouse-migrate' and datname = current_database()`,
    );
    expect(String(await killed)).toMatch(/terminat/);
    expect(await invalidIndexes()).toBe(1);
    await holder.query('rollback');
    await holder.end();
    expect(await up()).toEqual(['sample/0002_index.sql']);
    expect(await invalidIndexes()).toBe(0);
  });

  test('outside a transaction only what may be repeated is allowed', async () => {
    write('0001_bad.sql', '-- no-transaction\ncreate table things (id integer);');
    await expect(up()).rejects.toThrow('outside a transaction only');
  });

  test('F44: behind a long read it gives way in short turns, and readers wait no longer than one of them', async () => {
    write('0001_schema.sql', 'create schema sample; create table sample.things (id integer);');
    await up();
    const reader = new pg.Client(database.connection('admin'));
    await reader.connect();
    await reader.query('begin; select * from sample.things');
    write('0002_column.sql', 'alter table sample.things add name text;');
    const migrated = up({ lockTimeoutMs: 100, retryMs: 50 });
    for (let round = 0; round < 20; round++) {
      const startedAt = performance.now();
      await admin.query('select count(*) from sample.things');
      expect(performance.now() - startedAt).toBeLessThan(800);
      await delay(20);
    }
    await reader.query('rollback');
    await reader.end();
    expect(await migrated).toEqual(['sample/0002_column.sql']);

    await admin.query('begin; lock table sample.things');
    write('0003_column.sql', 'alter table sample.things add colour text;');
    await expect(up({ lockTimeoutMs: 50, retryMs: 10, attempts: 3 })).rejects.toThrow('lock timeout');
    await admin.query('rollback');
  });
});

describe('schemaCheck', () => {
  test('F42: refuses an older schema, a changed one, and nothing at all', async () => {
    const nothing = schemaCheck(database.pool('org'), 'platform', KIT_MIGRATIONS);
    await expect(nothing).rejects.toThrow('the schema is older than this release: platform/0001_platform.sql');
    write('0001_schema.sql', 'create schema sample;');
    await expect(check()).rejects.toThrow('the schema is older than this release: sample/0001_schema.sql');
    await up();
    await expect(check()).resolves.toBeUndefined();
    write('0001_schema.sql', 'create schema sample; ');
    await expect(check()).rejects.toThrow(SchemaError);
  });

  test('F42: refuses a newer schema, unless it only expands; migrating then is no error either', async () => {
    write('0001_schema.sql', 'create schema sample;');
    write('0002_more.sql', '-- expand\ncreate table sample.things (id integer);');
    await up();
    remove('0002_more.sql');
    await expect(check()).resolves.toBeUndefined();
    expect(await up()).toEqual([]);

    write('0002_more.sql', '-- expand\ncreate table sample.things (id integer);');
    write('0003_less.sql', '-- contract\ndrop table sample.things;');
    await up();
    remove('0003_less.sql');
    await expect(check()).rejects.toThrow('newer than this release: sample/0003_less.sql');
    await expect(up()).rejects.toThrow('newer than this release');
  });

  test('F42: with no database it says 503, so that a service can wait for one', async () => {
    await database.close();
    await expect(schemaCheck(database.pool('audit'), 'platform', KIT_MIGRATIONS)).rejects.not.toThrow(SchemaError);
  });
});

describe('privileges', () => {
  test('a service role may write an event and no more; audit seals, the worker dispatches, nobody backdates', async () => {
    await platformUp();
    const event = `insert into events.outbox (id, type, kind, actor, outcome, data)
      values (gen_random_uuid(), 'x.v1', 'change', '{}', 'success', '{}')`;
    for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const) {
      await database.pool(role).pg.query(event);
      await expect(database.pool(role).pg.query('create table app.mine (id integer)')).rejects.toThrow(
        'permission denied',
      );
      await expect(database.pool(role).pg.query('create schema mine')).rejects.toThrow('permission denied');
      await expect(database.pool(role).pg.query('create table public.mine (id integer)')).rejects.toThrow(
        'permission denied',
      );
      await expect(database.pool(role).pg.query(`delete from migrations.applied`)).rejects.toThrow('permission denied');
    }
    const org = database.pool('org').pg;
    await expect(org.query('select from events.outbox')).rejects.toThrow('permission denied');
    await expect(org.query(`insert into events.outbox (occurred_at) values (now())`)).rejects.toThrow(
      'permission denied',
    );
    const audit = database.pool('audit').pg;
    const sealed = await audit.query(`
      delete from events.outbox where position in
        (select position from events.outbox order by position limit 3) returning position`);
    expect(sealed.rowCount).toBe(3);
    await expect(audit.query('update events.outbox set position = 1')).rejects.toThrow(
      'can only be updated to DEFAULT',
    );
    await expect(audit.query('update events.outbox set position = default')).rejects.toThrow('permission denied');
    const job = `insert into events.jobs (id, name, queue, payload) values (gen_random_uuid(), 'a', 'b', '{}')`;
    for (const role of ['audit', 'gateway'] as const)
      await expect(database.pool(role).pg.query(job)).rejects.toThrow('permission denied');
    await org.query(job);
    await expect(org.query('select from events.jobs')).rejects.toThrow('permission denied');
    expect((await database.pool('worker').pg.query('select from events.jobs for update skip locked')).rowCount).toBe(1);
    expect((await database.pool('worker').pg.query('select app.cleanup(now())')).rowCount).toBe(1);
    await expect(org.query('select app.cleanup(now())')).rejects.toThrow('permission denied');
  });
});

async function invalidIndexes(): Promise<number> {
  return (await admin.query('select from pg_index where not indisvalid')).rowCount ?? 0;
}

/** Ends the migrator's session at the statement that `killer.at` says: every DDL statement and every record counts. */
async function armKiller(client: pg.Client): Promise<void> {
  await client.query(`
    create schema killer;
    create sequence killer.step;
    create sequence killer.at;
    create function killer.count() returns void language plpgsql security definer set search_path = '' as $$
    begin
      if pg_catalog.nextval('killer.step') = (select last_value from killer.at) then
        perform pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());
      end if;
    end $$;
    create function killer.on_ddl() returns event_trigger language plpgsql security definer set search_path = '' as $$
    begin
      if session_user = 'gatehouse_migrator' then perform killer.count(); end if;
    end $$;
    create function killer.on_record() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      perform killer.count();
      return null;
    end $$;
    create event trigger killer on ddl_command_start execute function killer.on_ddl();`);
}

/** Counts records as statements too, once there is a table for them; tells how many commits there were. */
async function watchRecords(client: pg.Client): Promise<number> {
  const { rows } = await client.query(`select to_regclass('migrations.applied') as there`);
  if (!rows[0].there) return 0;
  await client.query(`create or replace trigger killer after insert on migrations.applied
    for each statement execute function killer.on_record()`);
  return 1 + ((await client.query('select from migrations.applied')).rowCount ?? 0);
}

/** The schema as far as a release could notice: columns, constraints, indexes, functions, policies, grants, records. */
async function describeSchema(connection: pg.ClientConfig): Promise<unknown> {
  const client = new pg.Client(connection);
  await client.connect();
  const own = `n.nspname in ('app', 'events', 'migrations')`;
  const queries = [
    `select n.nspname, c.relname, c.relkind, c.relacl::text, c.relrowsecurity from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${own}`,
    `select n.nspname, c.relname, a.attname, a.atttypid::regtype::text, a.attnotnull, a.attacl::text from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace where ${own}`,
    `select n.nspname, k.conname, pg_get_constraintdef(k.oid) from pg_constraint k join pg_namespace n on n.oid = k.connamespace where ${own}`,
    `select pg_get_indexdef(i.indexrelid), i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace where ${own}`,
    `select pg_get_functiondef(p.oid), p.proacl::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${own}`,
    `select n.nspname, n.nspacl::text from pg_namespace n where ${own} or n.nspname = 'public'`,
    'select unit, version, name, checksum, kind from migrations.applied',
  ];
  const found: unknown[] = [];
  for (const text of queries)
    found.push((await client.query({ text, rowMode: 'array' })).rows.map((row) => JSON.stringify(row)).sort());
  await client.end();
  return found;
}
