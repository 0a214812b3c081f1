import { sha256 } from '@gatehouse/kit/crypto';
import { createRecent } from '../recent.ts';
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
