import { KeyRule, OrgFact } from '@gatehouse/contracts/facts';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Db, maybe } from '@gatehouse/kit/db';
import { z } from 'zod';

const Guard = OrgFact.omit({ id: true }).extend({ role: OrgRole.nullable() });

export function findGuard(db: Db, orgId: string, userId: string) {
  return maybe(db, Guard)`
    select g.status, g.plan, g.role, g.second_factor_required, g.session_max_seconds
    from org.find_guard(${orgId}, ${userId}) g`;
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
