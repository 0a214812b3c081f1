import { KeyRule, OrgFact } from '@gatehouse/contracts/facts';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, many, maybe } from '@gatehouse/kit/db';
import { z } from 'zod';

const Guard = OrgFact.omit({ id: true }).extend({
  org_id: z.uuid(),
  user_id: z.uuid(),
  role: OrgRole.nullable(),
});

/** Who is asked about, and in which organization. */
export interface Pair {
  org_id: string;
  user_id: string;
}

/** A row for every pair whose organization there is. */
export function findGuards(db: Db, pairs: readonly Pair[]) {
  const orgIds = pairs.map(({ org_id }) => org_id);
  const userIds = pairs.map(({ user_id }) => user_id);
  return many(db, Guard)`
    select p.org_id, p.user_id, g.status, g.plan, g.role, g.second_factor_required, g.session_max_seconds
    from unnest(${orgIds}::uuid[], ${userIds}::uuid[]) p(org_id, user_id)
    cross join lateral org.find_guard(p.org_id, p.user_id) g`;
}

const Key = z.object({
  key_id: z.uuid(),
  org_id: z.uuid(),
  org_status: OrgFact.shape.status,
  scopes: z.array(z.string()),
  rules: z.array(KeyRule),
  addresses: z.array(z.string()),
  expires_at: z.date(),
  revoked_at: z.date().nullable(),
  overlap_until: z.date().nullable(),
  last_used_at: z.date().nullable(),
});
export type Key = z.infer<typeof Key>;

export function findKeyByHash(db: Db, hash: Buffer) {
  return maybe(db, Key)`
    select k.key_id, k.org_id, k.org_status, k.scopes, k.rules, k.addresses, k.expires_at, k.revoked_at,
      k.overlap_until, k.last_used_at
    from org.find_api_key(${hash}) k`;
}
