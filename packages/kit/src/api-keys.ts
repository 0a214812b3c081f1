import { isIP } from 'node:net';
import { API_KEY_PATHS, type ApiKeyScope } from '@gatehouse/contracts/api-keys';
import type { ApiKeyFact, KeyRule } from '@gatehouse/contracts/facts';
import { addressList } from './addresses.ts';

/** Why a key that is alive may not make a request. */
export type KeyObjection = 'scope' | 'rule' | 'address' | 'organization';

/** What of a request a key is judged by. */
export interface KeyUse {
  method: string;
  /** In the gateway's canonical form (request-target.ts). */
  path: string;
  /** Folded (addresses.ts). */
  address: string;
}

/**
 * Whether a key may make a request: its scopes, its rules, its addresses, its organization. The one decision, of the
 * gateway and of the question why a key was refused. `orgId` is the organization that the request names.
 */
export function judgeKeyUse(key: ApiKeyFact, use: KeyUse, orgId: string | undefined): KeyObjection | undefined {
  const scope = scopeOf(use.path);
  if (scope === undefined || !key.scopes.includes(scope)) return 'scope';
  if (!rulesAllow(key.rules, use.method, use.path)) return 'rule';
  if (!addressAllowed(key, use.address)) return 'address';
  return orgId !== undefined && orgId.toLowerCase() !== key.org_id ? 'organization' : undefined;
}

/** Whether a key has come to the end of its life, or of its overlap. */
export function keyHasEnded({ active, expires_at }: ApiKeyFact, nowMs: number): boolean {
  return !active || (expires_at !== null && Date.parse(expires_at) <= nowMs);
}

const scopes = Object.entries(API_KEY_PATHS) as [ApiKeyScope, string][];

/** The scope that opens a path to API keys; undefined where no key ever reaches. */
export function scopeOf(path: string): ApiKeyScope | undefined {
  for (const [scope, prefix] of scopes) if (path.startsWith(prefix)) return scope;
  return undefined;
}

/** Whether a key's own rules allow the request. No rules: whatever its scopes open. */
export function rulesAllow(rules: readonly KeyRule[], method: string, path: string): boolean {
  if (rules.length === 0) return true;
  return rules.some((rule) => methodMatches(rule.method, method) && pathMatches(rule.path, path));
}

function methodMatches(rule: string, method: string): boolean {
  return rule === '*' || rule === method || (rule === 'GET' && method === 'HEAD');
}

function pathMatches(rule: string, path: string): boolean {
  if (rule.endsWith('/*')) return path.startsWith(rule.slice(0, -1));
  return rule === path;
}

const lists = new WeakMap<ApiKeyFact, (address: string) => boolean>();

/** Whether the key may be used from an address; a key without a list may from everywhere. */
export function addressAllowed(fact: ApiKeyFact, address: string): boolean {
  if (fact.addresses.length === 0) return true;
  let list = lists.get(fact);
  if (!list) {
    list = addressList(fact.addresses);
    lists.set(fact, list);
  }
  return isIP(address) !== 0 && list(address);
}
