import { isIPv6 } from 'node:net';
import { API_KEY_PATHS, type ApiKeyScope } from '@gatehouse/contracts/api-keys';
import type { ApiKeyFact, KeyRule } from '@gatehouse/contracts/facts';
import { sha256 } from '@gatehouse/kit/crypto';
import { createRecent } from '../recent.ts';
import { addressList } from '../requests/address.ts';
import { createPrincipal, type KeyPrincipal } from './principals.ts';

const CACHE_MAX = 20_000;

/** Principals of well-formed keys. The key itself is hashed once and asked for by the hash only. */
export function createApiKeys() {
  const known = createRecent<KeyPrincipal>(CACHE_MAX);
  return {
    read(key: string): KeyPrincipal {
      const principal = known.get(key);
      if (principal) return principal;
      const made = createPrincipal<KeyPrincipal>({ kind: 'api_key', hash: sha256(key).toString('hex') });
      known.set(key, made);
      return made;
    },
  };
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
  return (address.includes('.') || isIPv6(address)) && list(address);
}
