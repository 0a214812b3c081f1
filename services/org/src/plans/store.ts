import { one, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Usage = z.object({ members: z.number(), invitations: z.number(), api_keys: z.number() });

/** What of the plan's limits an organization uses, counted as each of them is enforced. */
export function countUsage(tx: Tx, orgId: string, now: Date) {
  return one(tx, Usage)`
    select (select count(*)::integer from org.members m where m.org_id = ${orgId}) as members,
      (select count(*)::integer from org.invitations i
       where i.org_id = ${orgId} and i.status = 'open' and i.expires_at > ${now}) as invitations,
      (select count(*)::integer from org.api_keys k
       where k.org_id = ${orgId} and k.revoked_at is null and k.overlap_until is null and k.expires_at > ${now}) as api_keys`;
}
