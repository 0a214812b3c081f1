import { type Db, many } from '@gatehouse/kit/db';
import { z } from 'zod';

/** The door of org: the names of a user's organizations, and of one that the user is to join. */
export async function listOrganizationNames(
  db: Db,
  { user_id, org_id }: { user_id: string | null; org_id: string | null },
): Promise<string[]> {
  const names = await many(db, z.object({ name: z.string() }))`
    select n.name from org.find_names(${user_id}::uuid, ${org_id}::uuid) as n (name)`;
  return names.map(({ name }) => name);
}
