import { type Db, many, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Import = z.object({
  file_hash: z.instanceof(Buffer),
  path: z.string(),
  line: z.number(),
  created: z.number(),
  refused: z.number(),
  finished_at: z.date().nullable(),
});
export type Import = z.infer<typeof Import>;

/** The import of a file, begun or found. */
export function beginImport(db: Db, fileHash: Buffer, path: string, now: Date): Promise<Import> {
  return one(db, Import)`
    insert into auth.imports as i (file_hash, path, started_at) values (${fileHash}, ${path}, ${now})
    on conflict (file_hash) do update set path = excluded.path
    returning i.file_hash, i.path, i.line, i.created, i.refused, i.finished_at`;
}

/** An import of the same path, with other bytes, that has not come to its end. */
export function findOtherUnfinished(db: Db, fileHash: Buffer, path: string): Promise<Import | undefined> {
  return maybe(db, Import)`
    select i.file_hash, i.path, i.line, i.created, i.refused, i.finished_at
    from auth.imports i
    where i.path = ${path} and i.finished_at is null and i.line > 0 and i.file_hash <> ${fileHash}
    order by i.started_at desc
    limit 1`;
}

export interface ImportedUser {
  id: string;
  email: string;
  name: string;
  role: 'user' | 'guest';
  password_hash: string | null;
  email_verified_at: Date | null;
  created_at: Date;
}

/** Inserts those whose address is free, and tells which. Of two with one address in the batch the first one counts. */
export async function insertUsers(tx: Tx, users: ImportedUser[], now: Date): Promise<Set<string>> {
  const inserted = await many(tx, z.object({ id: z.uuid() }))`
    insert into auth.users (id, email, name, role, password_hash, email_verified_at, created_at, updated_at)
    select n.id, n.email, n.name, n.role, n.password_hash, n.email_verified_at, n.created_at, ${now}
    from jsonb_to_recordset(${JSON.stringify(users)}::jsonb) as n
      (id uuid, email text, name text, role text, password_hash text, email_verified_at timestamptz,
       created_at timestamptz)
    on conflict (email) where status <> 'deleted' do nothing
    returning id`;
  return new Set(inserted.map(({ id }) => id));
}

export interface Refusal {
  line: number;
  reason: string;
}

export async function insertRefusals(tx: Tx, fileHash: Buffer, refusals: Refusal[]): Promise<void> {
  await run(tx)`
    insert into auth.import_refusals (file_hash, line, reason)
    select ${fileHash}, r.line, r.reason
    from jsonb_to_recordset(${JSON.stringify(refusals)}::jsonb) as r (line integer, reason text)`;
}

interface Progress {
  from: number;
  to: number;
  created: number;
  refused: number;
}

/** Moves on; false when another run has moved on meanwhile. */
export async function advance(tx: Tx, fileHash: Buffer, { from, to, created, refused }: Progress): Promise<boolean> {
  const moved = await run(tx)`
    update auth.imports i
    set line = ${to}, created = i.created + ${created}, refused = i.refused + ${refused}
    where i.file_hash = ${fileHash} and i.line = ${from}`;
  return moved === 1;
}

export function finishImport(db: Db, fileHash: Buffer, now: Date): Promise<Import> {
  return one(db, Import)`
    update auth.imports i set finished_at = coalesce(i.finished_at, ${now})
    where i.file_hash = ${fileHash}
    returning i.file_hash, i.path, i.line, i.created, i.refused, i.finished_at`;
}

/** Refused lines after a line, in order. */
export function listRefusals(db: Db, fileHash: Buffer, after: number, limit: number): Promise<Refusal[]> {
  return many(db, z.object({ line: z.number(), reason: z.string() }))`
    select r.line, r.reason from auth.import_refusals r
    where r.file_hash = ${fileHash} and r.line > ${after}
    order by r.line
    limit ${limit}`;
}
