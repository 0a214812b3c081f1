// What a database holds, for comparing a restored one with its original: `manifest.ts [--verify] [--head=<seq>]`.
// Every table's exact rows, the versions of the schema and the head of the audit log in one snapshot; with --verify
// the log's whole chain recomputed; with --head the hash of the record that was the last one then.
import { MIGRATION_UNITS } from '@gatehouse/kit/migrations';
import type pg from 'pg';
import { verifyChain } from '../../services/audit/src/chain/verify-chain.ts';
import { job, superuser, withClient, withPool } from './database.ts';

const SCHEMAS = [...MIGRATION_UNITS.flatMap(({ schemas }) => [...schemas]), 'migrations'];

async function readTables(client: pg.Client) {
  // What was written is read before the rows are counted: what falls between the two then widens the bounds.
  const { rows } = await client.query(
    `select format('%I.%I', s.schemaname, s.relname) as name, s.n_tup_ins::float8 as inserted, s.n_tup_del::float8 as deleted
     from pg_stat_all_tables s where s.schemaname = any($1) order by 1`,
    [SCHEMAS],
  );
  const tables: Record<string, { rows: number; inserted: number; deleted: number }> = {};
  await client.query('begin isolation level repeatable read, read only');
  for (const { name, inserted, deleted } of rows) {
    const count = await client.query(`select count(*)::float8 as rows from ${name}`);
    tables[name] = { rows: count.rows[0].rows, inserted, deleted };
  }
  return tables;
}

async function readSchema(client: pg.Client): Promise<string[]> {
  const { rows: there } = await client.query(`select to_regclass('migrations.applied') is not null as it`);
  if (!there[0].it) return [];
  const { rows } = await client.query(
    `select a.unit || '/' || a.name || ' ' || a.checksum as line from migrations.applied a order by a.unit, a.version`,
  );
  return rows.map(({ line }) => line);
}

async function readHead(client: pg.Client, seq: number | undefined) {
  const { rows: there } = await client.query(`select to_regclass('audit.head') is not null as it`);
  if (!there[0].it) return { audit_head: null };
  const { rows: heads } = await client.query(
    `select h.seq::float8 as seq, encode(h.hash, 'hex') as hash from audit.head h`,
  );
  if (seq === undefined) return { audit_head: heads[0] ?? null };
  const { rows } = await client.query(`select encode(l.hash, 'hex') as hash from audit.log l where l.seq = $1`, [seq]);
  return { audit_head: heads[0] ?? null, hash_at: rows[0]?.hash ?? null };
}

async function readChain() {
  const verification = await withPool(superuser(), (pool) => verifyChain(pool));
  if (verification.intact) return { intact: true, records: verification.records };
  const { seq, problem } = verification.finding;
  return { intact: false, records: verification.records, problem: `sequence ${seq}: ${problem}` };
}

await job(async () => {
  const verify = process.argv.includes('--verify');
  const head = process.argv.find((argument) => argument.startsWith('--head='))?.slice('--head='.length);
  const manifest = await withClient(superuser(), async (client) => {
    // Counting a large table takes as long as it takes.
    await client.query('set statement_timeout = 0');
    const tables = await readTables(client);
    const schema = await readSchema(client);
    const heads = await readHead(client, head === undefined ? undefined : Number(head));
    await client.query('commit');
    const { rows } = await client.query(
      `select clock_timestamp() as at, pg_database_size(current_database())::float8 as bytes`,
    );
    return { at: rows[0].at, bytes: rows[0].bytes, tables, schema, ...heads };
  });
  const chained = manifest.audit_head !== null && verify;
  return { ...manifest, chain: chained ? await readChain() : null };
});
