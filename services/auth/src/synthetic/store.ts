import { many, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Known = z.object({ id: z.uuid(), email: z.string(), password_hash: z.string().nullable() });
export type Known = z.infer<typeof Known>;

/** Of two at once the second waits here, and finds what the first one made. */
export async function lockSynthetic(tx: Tx): Promise<void> {
  await run(tx)`select pg_advisory_xact_lock(hashtextextended('auth.synthetic', 0))`;
}

export function listKnown(db: Parameters<typeof many>[0], ids: string[]): Promise<Known[]> {
  return many(db, Known)`select u.id, u.email, u.password_hash from auth.users u where u.id = any (${ids}::uuid[])`;
}

interface Account {
  id: string;
  email: string;
  name: string;
  password_hash: string;
  now: Date;
}

/** The account as it should be, whatever was done to it: in use, with a proved address, and no administrator. */
export async function putAccount(tx: Tx, { id, email, name, password_hash, now }: Account): Promise<void> {
  await run(tx)`
    insert into auth.users as u (id, email, name, role, password_hash, email_verified_at, created_at, updated_at)
    values (${id}, ${email}, ${name}, 'user', ${password_hash}, ${now}, ${now}, ${now})
    on conflict (id) do update
    set email = excluded.email, name = excluded.name, role = 'user', status = 'active',
      password_hash = excluded.password_hash, email_verified_at = coalesce(u.email_verified_at, excluded.updated_at),
      password_reset_required = false, disabled_at = null, disabled_reason = null, deletion_due_at = null,
      confirm_by = null, updated_at = excluded.updated_at`;
}

interface Keeping {
  org_id: string;
  name: string;
  owner_id: string;
  viewer_id: string;
  before: Date;
}

/** The door of org: the organization with these two members; true when it was founded by this. */
export async function keepOrganization(tx: Tx, { org_id, name, owner_id, viewer_id, before }: Keeping) {
  const { founded } = await one(tx, z.object({ founded: z.boolean() }))`
    select org.keep_synthetic(${org_id}::uuid, ${name}, ${owner_id}::uuid, ${viewer_id}::uuid, ${before}) as founded`;
  return founded;
}

/** Deletes the accounts that checks have left, but for those to keep. */
export async function forgetLeftovers(tx: Tx, orgId: string, keep: string[], before: Date): Promise<number> {
  const { removed } = await one(tx, z.object({ removed: z.number() }))`
    select auth.forget_synthetic(${orgId}::uuid, ${keep}::uuid[], ${before}) as removed`;
  return removed;
}
