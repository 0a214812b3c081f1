import type { RunningPostgres } from '@gatehouse/testkit/postgres';
import pg from 'pg';

/** Organizations that share the rows evenly. */
export const ORGS: readonly string[] = Array.from(
  { length: 20 },
  (_, n) => `018f0000-0000-7000-8000-0000000000${String(n).padStart(2, '0')}`,
);

const START = Date.UTC(2026, 0, 1);
const EVERY_MS = 100;

/** When the record of a sequence happened. */
export function timeOf(seq: number): Date {
  return new Date(START + Math.round(seq) * EVERY_MS);
}

/** Fills a migrated, empty log with made-up records: of 20 organizations, 1,000 actors and a few types, by turns. */
export async function fillLog(server: RunningPostgres, database: string, rows: number): Promise<void> {
  const { host, port, user, password } = server;
  const admin = new pg.Client({ host, port, user, password, database });
  await admin.connect();
  try {
    const indexes = await dropIndexes(admin);
    await admin.query(`set maintenance_work_mem = '512MB'`);
    // In pieces, so that checkpoints have something to do in between.
    const piece = 500_000;
    for (let from = 1; from <= rows; from += piece) await insertRows(admin, from, Math.min(rows, from + piece - 1));
    for (const definition of indexes) await admin.query(definition);
    await admin.query('vacuum analyze audit.log');
  } finally {
    await admin.end();
  }
}

/** Drops the indexes that no constraint needs and returns how to make them again: built at the end they take a third of the time. */
async function dropIndexes(admin: pg.Client): Promise<string[]> {
  const { rows } = await admin.query<{ name: string; definition: string }>(`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i
    where i.indrelid = 'audit.log'::regclass
      and not exists (select from pg_constraint c where c.conindid = i.indexrelid)`);
  for (const { name } of rows) await admin.query(`drop index ${name}`);
  return rows.map(({ definition }) => definition);
}

async function insertRows(admin: pg.Client, from: number, to: number): Promise<void> {
  await admin.query(
    `insert into audit.log (seq, id, type, kind, org_id, actor_kind, actor_id, actor, target_type, target_id, outcome,
                            address, agent, request_id, trace_id, data, occurred_at, sealed_at, hash)
     select n, overlay(overlay(md5('id' || n) placing lpad(to_hex($3::bigint + n * $4::bigint), 12, '0') || '7' from 1)
              placing 'a' from 17)::uuid,
            (array['org.member_role_changed.v1', 'auth.signed_in.v1', 'access.denied.v1', 'org.updated.v1'])[1 + n % 4],
            (array['change', 'security', 'access', 'admin_action'])[1 + n % 4],
            ($5::uuid[])[1 + (n / 4) % 20], 'user', md5((n / 7 % 1000)::text)::uuid,
            jsonb_build_object('kind', 'user', 'user_id', md5((n / 7 % 1000)::text)::uuid, 'role', 'user'),
            'user', md5('target' || n), 'success', '192.0.2.' || n % 250,
            'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', md5('r' || n), md5('t' || n),
            jsonb_build_object('user_id', md5(n::text)::uuid, 'role', 'analyst', 'previous_role', 'viewer'),
            at.time, at.time, sha256(n::text::bytea)
     from generate_series($1::bigint, $2::bigint) n,
          lateral (select to_timestamp(($3::bigint + n * $4::bigint) / 1000.0) as time) at`,
    [from, to, START, EVERY_MS, ORGS],
  );
}
