import { IDENTITY_TTL_SECONDS, type IdentityClaims, type IdentityOrg } from '@gatehouse/contracts/identity';
import type { IdentitySigner } from '@gatehouse/kit/identity';
import type { Principal } from '../credentials/principals.ts';

export interface CachedIdentity {
  token: string;
  renewAtMs: number;
}

export interface LastIdentity extends CachedIdentity {
  audience: string;
  role: Standing['role'];
  key_id: Standing['key_id'];
  org: Standing['org'];
}

const RENEW_AFTER_MS = (IDENTITY_TTL_SECONDS * 1000) / 2;
// A principal that talks to many audiences or organizations in a minute must not grow without bound.
const IDENTITIES_MAX = 32;

/** What the guard found out about the principal for this request. */
export interface Standing {
  role: 'admin' | 'user' | 'guest' | undefined;
  key_id: string | undefined;
  org: IdentityOrg | undefined;
}

export const NO_STANDING: Standing = { role: undefined, key_id: undefined, org: undefined };

/**
 * Identities, minted once for a principal, an audience and a standing, and used until half of their life is over:
 * a signature costs more than the whole rest of a request. A changed role is another standing, so it shows at once.
 */
export function createIdentities(signer: IdentitySigner, now: () => number = () => performance.now()) {
  return {
    jwk: signer.jwk,
    tokenFor(principal: Principal, standing: Standing, audience: string): string {
      const { role, key_id, org } = standing;
      const nowMs = now();
      const last = principal.lastIdentity;
      if (
        last !== undefined &&
        last.org === org &&
        last.audience === audience &&
        last.role === role &&
        last.key_id === key_id &&
        nowMs < last.renewAtMs
      )
        return last.token;
      const state = org ? `${audience} ${org.id} ${org.role} ${org.plan} ${role} ${key_id}` : `${audience} ${role}`;
      let known = principal.identities.get(state);
      if (known === undefined || nowMs >= known.renewAtMs) {
        known = { token: signer.sign(claimsOf(principal, standing), audience), renewAtMs: nowMs + RENEW_AFTER_MS };
        if (principal.identities.size >= IDENTITIES_MAX) principal.identities.clear();
        principal.identities.set(state, known);
      }
      principal.lastIdentity = { ...known, audience, role, key_id, org };
      return known.token;
    },
  };
}

export type Identities = ReturnType<typeof createIdentities>;

function claimsOf(principal: Principal, { role, key_id, org }: Standing): IdentityClaims {
  const forOrg = org ? { org } : {};
  switch (principal.kind) {
    case 'user': {
      const { user_id: sub, session_id: sid, auth_time, amr } = principal;
      return { sub, kind: 'user', sid, auth_time, amr, ...(role ? { role } : {}), ...forOrg };
    }
    case 'api_key':
      return { sub: key_id ?? 'unknown', kind: 'api_key', ...(key_id ? { key_id } : {}), ...forOrg };
    default:
      return { sub: 'anonymous', kind: 'anonymous' };
  }
}
