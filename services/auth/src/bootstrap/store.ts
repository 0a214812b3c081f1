import { type Db, one, run, type Tx, violates } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

export async function isBootstrapped(db: Db): Promise<boolean> {
  const { done } = await one(db, z.object({ done: z.boolean() }))`
    select exists (select from auth.bootstrap b where b.id = 1) as done`;
  return done;
}

interface Marker {
  user_id: string;
  org_id: string;
  now: Date;
}

/** Takes the one place that there is. Whoever comes at the same time waits, and finds it taken or free again. */
export async function insertMarker(tx: Tx, { user_id, org_id, now }: Marker): Promise<void> {
  try {
    await run(
      tx,
    )`insert into auth.bootstrap (id, user_id, org_id, completed_at) values (1, ${user_id}, ${org_id}, ${now})`;
  } catch (error) {
    if (!violates(error, 'bootstrap_pkey')) throw error;
    throw new AppError('bootstrap.completed', undefined, { cause: error });
  }
}

interface Founding {
  id: string;
  name: string;
  slug: string;
  owner_id: string;
}

/** The door of org: the organization and its owner, in this transaction. */
export async function foundOrganization(tx: Tx, { id, name, slug, owner_id }: Founding): Promise<void> {
  await run(tx)`select org.found_organization(${id}::uuid, ${name}, ${slug}, ${owner_id}::uuid)`;
}
