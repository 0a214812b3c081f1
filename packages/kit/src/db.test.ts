import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import {
  join,
  many,
  maybe,
  one,
  openPool,
  orgTransaction,
  type Pool,
  platformTransaction,
  run,
  sql,
  type Tx,
  transaction,
  transactionScope,
  violates,
} from './db.ts';
import { AppError } from './errors.ts';
import { newId } from './ids.ts';
import { createMetrics } from './metrics.ts';

let database: TestDatabase;
let admin: Pool;
let pool: Pool;

beforeAll(async () => {
  database = await testDatabase({ units: ['platform'] });
  admin = database.pool('admin');
  pool = database.pool('org');
  await admin.pg.query(`
    create schema org;
    create table org.things (
      id bigint generated always as identity, org_id uuid not null, name text not null,
      constraint things_name_key unique (org_id, name)
    );
    alter table org.things enable row level security;
    alter table org.things force row level security;
    create policy own on org.things using (org_id = app.current_org_id() or app.is_platform());
    grant usage on schema org to gatehouse_org;
    grant select, insert, update, delete on org.things to gatehouse_org;
    create table org.counters (name text primary key, n integer not null);
    grant select, insert, update on org.counters to gatehouse_org;
    insert into org.counters values ('a', 0), ('b', 0);`);
});
afterAll(() => database.close());

const Count = z.object({ n: z.number() });
const Pid = z.object({ pid: z.number() });
const Thing = z.object({ id: z.number(), name: z.string() });

const terminate = (pid: number) => run(admin)`select pg_terminate_backend(${pid})`;
const pidOf = async (db: Pool | Tx): Promise<number> => (await one(db, Pid)`select pg_backend_pid() as pid`).pid;

describe('tags', () => {
  test('every value is a parameter, whatever it holds', async () => {
    const evil = `'; drop table org.things; --`;
    const row = await one(pool, z.object({ said: z.string(), n: z.number(), list: z.array(z.string()) }))`
      select ${evil}::text as said, ${3}::bigint as n, ${['x', evil]}::text[] as list`;
    expect(row).toEqual({ said: evil, n: 3, list: ['x', evil] });
  });

  test('fragments nest, keep their parameters in order, and join', async () => {
    const conditions = [sql`n > ${1}`, sql`n < ${5}`, sql`n <> ${3}`];
    const rows = await many(pool, Count)`
      select n from generate_series(1, ${9}::int) n where ${join(conditions, sql` and `)} order by n`;
    expect(rows.map(({ n }) => n)).toEqual([2, 4]);
  });

  test('a template without a fragment is prepared once and used again', async () => {
    const ask = (db: Tx, n: number) => one(db, Count)`select ${n}::int as n /* prepared once */`;
    const prepared = await transaction(pool, async (tx) => {
      for (let n = 0; n < 3; n++) expect((await ask(tx, n)).n).toBe(n);
      return many(tx, z.object({ name: z.string() }))`
        select p.name from pg_prepared_statements p where p.statement like 'select $1::int as n /* prepared once%'`;
    });
    expect(prepared).toHaveLength(1);
  });

  test('one wants exactly one row, maybe at most one, and a row of another form is a bug', async () => {
    await expect(one(pool, Count)`select 1 as n where false`).rejects.toThrow('0 rows instead of one');
    await expect(maybe(pool, Count)`select n from generate_series(1, 2) n`).rejects.toThrow('2 rows');
    expect(await maybe(pool, Count)`select 1 as n where false`).toBeUndefined();
    await expect(one(pool, Count)`select 'x' as n`).rejects.toThrow('not of the form');
  });

  test('a bigint comes as a number where that is exact, else as text; a date as text', async () => {
    const Row = z.object({ small: z.number(), large: z.string(), day: z.string() });
    const row = await one(pool, Row)`
      select 42::bigint as small, 9007199254740993::bigint as large, date '2026-02-28' as day`;
    expect(row).toEqual({ small: 42, large: '9007199254740993', day: '2026-02-28' });
  });

  test('a statement whose result changed its type under a deploy works on', async () => {
    await admin.pg.query('create table org.moving (v integer); insert into org.moving values (7)');
    await admin.pg.query('grant select on org.moving to gatehouse_org');
    const single = openPool({ ...database.connection('org'), max: 1, name: 'single' });
    const read = () =>
      transaction(single, (tx) => one(tx, z.object({ v: z.coerce.string() }))`select v from org.moving`);
    expect(await read()).toEqual({ v: '7' });
    await admin.pg.query('alter table org.moving alter v type text');
    expect(await read()).toEqual({ v: '7' });
    await single.end();
  });
});

describe('transactions', () => {
  test('with no organization named a query sees nothing and may write nothing; with one, only its own', async () => {
    const [acme, other] = [newId(), newId()];
    const insert = (tx: Tx | Pool, org: string) =>
      run(tx)`insert into org.things (org_id, name) values (${org}, 'one')`;
    await orgTransaction(pool, acme, (tx) => insert(tx, acme));
    await orgTransaction(pool, other, (tx) => insert(tx, other));

    await expect(insert(pool, acme)).rejects.toThrow('row-level security');
    await expect(orgTransaction(pool, acme, (tx) => insert(tx, other))).rejects.toThrow('row-level security');
    const seen = (db: Tx | Pool) => many(db, Thing)`select t.id, t.name from org.things t`;
    expect(await seen(pool)).toEqual([]);
    expect(await transaction(pool, seen)).toEqual([]);
    expect(await orgTransaction(pool, acme, seen)).toHaveLength(1);
    expect(await platformTransaction(pool, seen)).toHaveLength(2);
    // The setting went with its transaction.
    for (let round = 0; round < 10; round++) expect(await seen(pool)).toEqual([]);
  });

  test('an organization that is no UUID never reaches the database', async () => {
    expect(() => orgTransaction(pool, `x'; drop table org.things; --`, async () => 1)).toThrow('not a UUID');
  });

  test('a thrown error rolls back; a violated constraint is known by its name', async () => {
    const acme = newId();
    const twice = orgTransaction(pool, acme, async (tx) => {
      for (let i = 0; i < 2; i++) await run(tx)`insert into org.things (org_id, name) values (${acme}, 'same')`;
    });
    const error: unknown = await twice.catch((failure) => failure);
    expect(violates(error, 'things_name_key')).toBe(true);
    expect(violates(error, 'things_pkey')).toBe(false);
    const rows = await orgTransaction(pool, acme, (tx) => many(tx, Thing)`select t.id, t.name from org.things t`);
    expect(rows).toEqual([]);
  });

  test('a failed statement that is swallowed does not pass for a commit', async () => {
    const swallowed = transaction(pool, (tx) => run(tx)`select 1 / 0`.catch(() => 0));
    await expect(swallowed).rejects.toThrow('a failed statement was ignored');
  });

  test('a transaction that is over takes no more statements', async () => {
    let leaked: Tx | undefined;
    await transaction(pool, async (tx) => {
      leaked = tx;
    });
    await expect(run(leaked as Tx)`select 1`).rejects.toThrow('the transaction is over');
  });

  // Guards the retry: without it one of the two is refused with 40P01.
  test('of two transactions in a deadlock both succeed, one of them at its second try', async () => {
    let runs = 0;
    const meet = meeting(2);
    const add = (first: string, second: string) =>
      transaction(pool, async (tx) => {
        runs++;
        await run(tx)`update org.counters set n = n + 1 where name = ${first}`;
        await meet();
        await run(tx)`update org.counters set n = n + 1 where name = ${second}`;
      });
    await Promise.all([add('a', 'b'), add('b', 'a')]);
    const rows = await many(pool, Count)`select c.n from org.counters c where c.name in ('a', 'b')`;
    expect(rows).toEqual([{ n: 2 }, { n: 2 }]);
    expect(runs).toBe(3);
  });

  test('the hooks of a scope run after BEGIN and before COMMIT, inside the transaction', async () => {
    const calls: unknown[] = [];
    const hooks = {
      async afterBegin(tx: Tx) {
        calls.push(`began ${await pidOf(tx)}`);
      },
      async beforeCommit(tx: Tx, result: unknown) {
        calls.push(`${result} ${await pidOf(tx)}`);
      },
      afterCommit: () => void calls.push('committed'),
    };
    const pid = await transactionScope.run(hooks, () => transaction(pool, pidOf));
    expect(calls).toEqual([`began ${pid}`, `${pid} ${pid}`, 'committed']);
    const refusing = { afterBegin: () => Promise.reject(new AppError('conflict')) };
    await expect(transactionScope.run(refusing, () => transaction(pool, pidOf))).rejects.toThrow(AppError);
  });
});

describe('outages', () => {
  test('F14: an idle connection that is terminated is dropped unseen, and the next statement works', async () => {
    const single = openPool({ ...database.connection('org'), max: 1, name: 'single' });
    for (let round = 0; round < 10; round++) {
      await terminate(await pidOf(single));
      // The loss may not have been noticed yet: a transaction begins again, a single statement says 503.
      expect(await transaction(single, pidOf)).toBeGreaterThan(0);
    }
    await single.end();
  });

  test('F14: a transaction whose connection is terminated runs again on another one', async () => {
    const single = openPool({ ...database.connection('org'), max: 1, name: 'single' });
    const pids: number[] = [];
    const result = await transaction(single, async (tx) => {
      pids.push(await pidOf(tx));
      if (pids.length === 1) await terminate(pids[0] ?? 0);
      await run(tx)`select 1`;
      return 'done';
    });
    expect(result).toBe('done');
    expect(new Set(pids).size).toBe(2);
    await single.end();
  });

  test('F14: terminations under load end only in 503, and no broken connection comes back to the pool', async () => {
    const small = openPool({ ...database.connection('org'), max: 4, name: 'small' });
    const outcomes: unknown[] = [];
    let over = false;
    const load = Array.from({ length: 8 }, async () => {
      while (!over)
        outcomes.push(
          await (Math.random() < 0.5 ? pidOf(small) : transaction(small, pidOf)).catch((error: unknown) => error),
        );
    });
    for (let round = 0; round < 15; round++)
      await run(admin)`
        select pg_terminate_backend(a.pid) from pg_stat_activity a
        where a.application_name = 'small' and a.datname = current_database()`;
    over = true;
    await Promise.all(load);
    const failures = outcomes.filter((outcome) => typeof outcome !== 'number');
    for (const failure of failures) expect(failure).toMatchObject({ code: 'dependency_unavailable', status: 503 });
    expect(outcomes.length).toBeGreaterThan(failures.length);
    for (let n = 0; n < 20; n++) expect(await pidOf(small)).toBeGreaterThan(0);
    await small.end();
  });

  test('F15: a server turned read-only answers reads, refuses writes with 503, and recovers', async () => {
    const single = openPool({ ...database.connection('org'), max: 2, name: 'single' });
    const write = () => run(single)`update org.counters set n = n where name = 'a'`;
    await admin.pg.query(`alter database ${database.name} set default_transaction_read_only = on`);
    await admin.pg.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a where a.usename = 'gatehouse_org'`,
    );
    await transaction(single, pidOf);
    await expect(write()).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect(await pidOf(single)).toBeGreaterThan(0);
    const connection = await admin.pg.connect();
    await connection.query('set default_transaction_read_only = off');
    await connection.query(`alter database ${database.name} reset default_transaction_read_only`);
    connection.release(true);
    await run(single)`select 1`;
    await write().catch(() => undefined);
    expect(await write()).toBe(1);
    await single.end();
  });

  test('no database is 503 with Retry-After, at once', async () => {
    const nowhere = openPool({ ...database.connection('org'), port: 1, max: 1, name: 'nowhere' });
    const error: unknown = await pidOf(nowhere).catch((failure) => failure);
    expect(error).toMatchObject({ code: 'dependency_unavailable', headers: { 'retry-after': '1' } });
    await nowhere.end();
  });

  test('a pool with no free connection says 503 after two seconds and counts it; the metrics show the pool', async () => {
    const metrics = createMetrics({ version: '1', revision: 'x' });
    const single = openPool({ ...database.connection('org'), max: 1, name: 'single', metrics });
    let free: (() => void) | undefined;
    const holder = transaction(single, () => new Promise<void>((resolve) => (free = resolve)));
    await expect(pidOf(single)).rejects.toMatchObject({ code: 'dependency_unavailable' });
    const text = await metrics.registry.metrics();
    expect(text).toContain('db_connection_timeouts_total{pool="single"} 1');
    expect(text).toContain('db_connections_active{pool="single"} 1');
    expect(text).toContain('db_connections_max{pool="single"} 1');
    free?.();
    await holder;
    await pidOf(single);
    expect(await metrics.registry.metrics()).toMatch(
      /db_query_duration_seconds_count\{db_system_name="postgresql",db_operation_name="select"\} [1-9]/,
    );
    await single.end();
  });

  test('a wait for a lock ends after two seconds as 503', async () => {
    const meet = meeting(2);
    let free: (() => void) | undefined;
    const holder = transaction(pool, async (tx) => {
      await run(tx)`update org.counters set n = n where name = 'a'`;
      await meet();
      await new Promise<void>((resolve) => (free = resolve));
    });
    await meet();
    await expect(run(pool)`update org.counters set n = n where name = 'a'`).rejects.toMatchObject({
      code: 'overloaded',
    });
    free?.();
    await holder;
  });
});

/** A function that, called for the `count`th time, lets all its callers go on. */
function meeting(count: number): () => Promise<void> {
  let arrived = 0;
  let open: (() => void) | undefined;
  const all = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    if (++arrived >= count) open?.();
    return all;
  };
}
