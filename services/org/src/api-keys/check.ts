import type { ApiKeyFact } from '@gatehouse/contracts/facts';
import { canonicalAddress } from '@gatehouse/kit/addresses';
import { judgeKeyUse, type KeyObjection, keyHasEnded } from '@gatehouse/kit/api-keys';
import { orgTransaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { readTarget } from '@gatehouse/kit/request-target';
import type { Deps } from '../deps.ts';
import type { Status } from '../organizations/organization.ts';
import { getOrganization } from '../organizations/organizations.ts';
import { keyFact } from './fact.ts';
import { type ApiKey, findKey } from './store.ts';

export const REASONS = [
  'ok',
  'organization_suspended',
  'revoked',
  'expired',
  'overlap_over',
  'path_not_canonical',
  'scope',
  'rule',
  'address',
  'other_organization',
] as const;
export type Reason = (typeof REASONS)[number];

interface Wish {
  method: string;
  /** With or without a query; as a client would write it. */
  path: string;
  /** None: the key's addresses are not looked at. */
  address?: string | undefined;
  /** What the request says in `x-org-id`. */
  org_id?: string | undefined;
}

interface Verdict {
  allowed: boolean;
  reason: Reason;
  detail: string;
}

/** Whether the gateway would let a request with the key pass, by the decisions that it takes itself, and why not. */
export async function checkKey(deps: Deps, orgId: string, keyId: string, wish: Wish): Promise<Verdict> {
  const now = deps.clock();
  const { status } = await getOrganization(deps, orgId);
  const key = await orgTransaction(deps.pool, orgId, (tx) => findKey(tx, orgId, keyId));
  if (!key) throw new AppError('api_key.not_found', 'No such API key.');
  const fact = factOf(key, orgId, status, now);
  const reason = reasonOf(fact, key, status, wish, now);
  return { allowed: reason === 'ok', reason, detail: detailOf(reason, fact, wish) };
}

function factOf(key: ApiKey, orgId: string, status: Status, now: Date): ApiKeyFact {
  const date = (time: string | null) => (time === null ? null : new Date(time));
  return keyFact(
    {
      ...key,
      key_id: key.id,
      org_id: orgId,
      org_status: status,
      expires_at: new Date(key.expires_at),
      revoked_at: date(key.revoked_at),
      overlap_until: date(key.overlap_until),
    },
    now,
  );
}

const OBJECTIONS = {
  scope: 'scope',
  rule: 'rule',
  address: 'address',
  organization: 'other_organization',
} as const satisfies Record<KeyObjection, Reason>;

function reasonOf(fact: ApiKeyFact, key: ApiKey, status: Status, wish: Wish, now: Date): Reason {
  // The gateway refuses such a path before it looks at who asks.
  const target = readTarget(wish.path);
  if (typeof target === 'string') return 'path_not_canonical';
  if (keyHasEnded(fact, now.getTime())) return endOf(key, status, now);
  const address = wish.address === undefined ? undefined : canonicalAddress(wish.address);
  const judged = address === undefined ? { ...fact, addresses: [] } : fact;
  const use = { method: wish.method, path: target.path, address: address ?? '' };
  const objection = judgeKeyUse(judged, use, wish.org_id);
  return objection === undefined ? 'ok' : OBJECTIONS[objection];
}

/** What ended the key; the organization last, since that can be lifted. */
function endOf({ revoked_at, overlap_until, expires_at }: ApiKey, status: Status, now: Date): Reason {
  if (revoked_at !== null) return 'revoked';
  if (overlap_until !== null && new Date(overlap_until) <= now) return 'overlap_over';
  if (new Date(expires_at) <= now) return 'expired';
  return status === 'active' ? 'expired' : 'organization_suspended';
}

function detailOf(reason: Reason, { scopes, rules, addresses }: ApiKeyFact, { method, path, address }: Wish): string {
  switch (reason) {
    case 'ok':
      return address === undefined && addresses.length > 0
        ? `Allowed from ${addresses.join(', ')}. Give an address to have it looked at.`
        : 'Allowed.';
    case 'organization_suspended':
      return 'The organization is suspended; none of its keys counts until that is lifted.';
    case 'revoked':
      return 'The key was revoked.';
    case 'expired':
      return 'The key has expired.';
    case 'overlap_over':
      return 'The key was replaced by another one, and its overlap is over.';
    case 'path_not_canonical':
      return 'The path has another, canonical spelling, or none; such a request is refused whoever asks.';
    case 'scope':
      return `The path is in none of the scopes of the key: ${scopes.join(', ')}.`;
    case 'rule':
      return `None of the rules of the key allows ${method} ${path}: ${rules.map((rule) => `${rule.method} ${rule.path}`).join(', ')}.`;
    case 'address':
      return `The key may be used from ${addresses.join(', ')} only.`;
    case 'other_organization':
      return 'The request names another organization than that of the key.';
  }
}
