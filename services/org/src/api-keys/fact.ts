import type { ApiKeyFact } from '@gatehouse/contracts/facts';
import type { Status } from '../organizations/organization.ts';

interface StoredKey {
  key_id: string;
  org_id: string;
  org_status: Status;
  scopes: string[];
  rules: ApiKeyFact['rules'];
  addresses: string[];
  expires_at: Date;
  revoked_at: Date | null;
  overlap_until: Date | null;
}

/** What the gateway is told of a key. */
export function keyFact(key: StoredKey, now: Date): ApiKeyFact {
  const { key_id, org_id, org_status, scopes, rules, addresses, revoked_at } = key;
  // A replaced key ends with its overlap. The gateway is told when, and needs no answer of ours to hold to it.
  const end = key.overlap_until && key.overlap_until < key.expires_at ? key.overlap_until : key.expires_at;
  const active = org_status === 'active' && revoked_at === null && end > now;
  return { key_id, org_id, active, scopes, rules, addresses, expires_at: end.toISOString() };
}
