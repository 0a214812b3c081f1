import { MIGRATION_UNITS } from '@gatehouse/kit/migrations';
import type pg from 'pg';

const SCHEMAS = MIGRATION_UNITS.flatMap(({ schemas }) => [...schemas]);

/** What a schema consists of, a line each: `column auth.users.email` to `text not null`. */
export type Structure = Map<string, string>;

const PARTS = [
  `select 'table ' || c.oid::regclass as name, 'row security ' || c.relrowsecurity || ', forced ' || c.relforcerowsecurity as is
   from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = any($1::regnamespace[])`,
  `select format('column %s.%I', c.oid::regclass, a.attname),
     concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
       'default ' || pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, ''), nullif(a.attgenerated, ''))
   from pg_attribute a join pg_class c on c.oid = a.attrelid
   left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p') and c.relnamespace = any($1::regnamespace[])`,
  `select format('constraint %s.%I', k.conrelid::regclass, k.conname),
     pg_get_constraintdef(k.oid) || case when k.convalidated then '' else ' (not validated)' end
   from pg_constraint k where k.conrelid <> 0 and k.connamespace = any($1::regnamespace[])`,
  `select 'index ' || i.indexrelid::regclass,
     pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' (invalid)' end
   from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace = any($1::regnamespace[])`,
  `select 'function ' || p.oid::regprocedure, md5(pg_get_functiondef(p.oid))
   from pg_proc p where p.prokind = 'f' and p.pronamespace = any($1::regnamespace[])`,
  `select format('trigger %s.%I', t.tgrelid::regclass, t.tgname), pg_get_triggerdef(t.oid)
   from pg_trigger t join pg_class c on c.oid = t.tgrelid
   where not t.tgisinternal and c.relnamespace = any($1::regnamespace[])`,
  `select format('policy %s.%I', p.polrelid::regclass, p.polname),
     concat_ws(' ', p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
   from pg_policy p join pg_class c on c.oid = p.polrelid where c.relnamespace = any($1::regnamespace[])`,
  `select format('grants on %s to %s', c.oid::regclass, a.grantee::regrole), string_agg(a.privilege_type, ', ' order by a.privilege_type)
   from pg_class c, aclexplode(c.relacl) a
   where a.grantee <> 0 and a.grantee <> c.relowner and c.relkind in ('r', 'p', 'S', 'v') and c.relnamespace = any($1::regnamespace[])
   group by c.oid, a.grantee`,
];

/** Reads tables, columns, constraints, indexes, functions, triggers, policies and grants of our schemas. */
export async function readStructure(client: pg.Client): Promise<Structure> {
  // Names are then written with their schema.
  await client.query(`set search_path = ''`);
  const { rows: schemas } = await client.query(
    'select n.nspname as name from pg_namespace n where n.nspname = any($1)',
    [SCHEMAS],
  );
  const structure: Structure = new Map(schemas.map(({ name }) => [`schema ${name}`, 'there']));
  const names = schemas.map(({ name }) => name);
  for (const text of PARTS) {
    const { rows } = await client.query({ text, values: [names], rowMode: 'array' });
    for (const [name, is] of rows) structure.set(name, is);
  }
  return structure;
}

/** How a database differs from what the migrations make, one line each. */
export function differences(expected: Structure, found: Structure): string[] {
  const lines: string[] = [];
  for (const [name, is] of expected) {
    const has = found.get(name);
    if (has === undefined) lines.push(`${name} is missing (${shown(name, is)})`);
    else if (has !== is) lines.push(`${name} differs${name.startsWith('function') ? '' : `: ${has}, not ${is}`}`);
  }
  for (const name of found.keys()) if (!expected.has(name)) lines.push(`${name} is unknown to the migrations`);
  // What belongs to a table that is missing as a whole need not be told.
  const missing = lines
    .filter((line) => /^(table|schema) \S+ is missing/.test(line))
    .map((line) => line.split(' ')[1] ?? '');
  return lines.filter((line) => !missing.some((part) => belongs(line, part))).sort();
}

/** Whether a line is about a part of something, or about an index or a grant on it. */
function belongs(line: string, whole: string): boolean {
  if (line.startsWith(`table ${whole} `) || line.startsWith(`schema ${whole} `)) return false;
  return line.includes(` ${whole}.`) || line.toLowerCase().includes(` on ${whole} `);
}
const shown = (name: string, is: string) => (name.startsWith('function') ? 'a function' : is);
