import { one, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import { countKeysInUse } from '../api-keys/api-keys.ts';

const Usage = z.object({ members: z.number(), invitations: z.number() });

/** What of the plan's limits an organization uses, counted as each of them is enforced. */
export async function countUsage(tx: Tx, orgId: string, now: Date) {
  const usage = await one(tx, Usage)`
    select (select count(*)::integer from org.members m where m.org_id = ${orgId}) as members,
      (select count(*)::integer from org.invitations i
       where i.org_id = ${orgId} and i.status = 'open' and i.expires_at > ${now}) as invitations`;
  return { ...usage, api_keys: await countKeysInUse(tx, orgId, now) };
}
