import { type Db, one } from '@gatehouse/kit/db';
import { z } from 'zod';

const Requirements = z.object({ second_factor_required: z.boolean() });

/** Whether an organization that the user belongs to asks its members for a second factor. */
export async function isAskedByOrganization(db: Db, userId: string): Promise<boolean> {
  const asked = await one(db, Requirements)`
    select coalesce(bool_or(r.second_factor_required), false) as second_factor_required
    from org.requirements_of(${userId}) r`;
  return asked.second_factor_required;
}
