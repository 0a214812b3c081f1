import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { type AuthenticationMethod, IDENTITY_HEADER, type IdentityClaims } from '@gatehouse/contracts/identity';
import { type OrgRole, permissionsOf } from '@gatehouse/contracts/permissions';
import { createSigner, createVerifier, type IdentityVerifier } from '@gatehouse/kit/identity';

const pair = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});
/** The key that stands for the gateway's in this test file. */
export const identityPrivateKey = pair.privateKey;
/** What a service under test takes as IDENTITY_PUBLIC_KEYS. */
export const publicKeys = pair.publicKey;
const signer = createSigner(pair.privateKey);

/** Claims with the organization in short: its role's permissions and the plan `free` are filled in. */
export type TestIdentity = Omit<Partial<IdentityClaims>, 'org'> & {
  org?: Partial<NonNullable<IdentityClaims['org']>> & { id: string; role?: OrgRole | 'platform_admin' | 'api_key' };
};

/** The claims of an identity; what is left out is made up: a user has just signed in with a second factor. */
export function claims({ kind = 'user', org, ...rest }: TestIdentity = {}): IdentityClaims {
  const base = {
    user: {
      sub: randomUUID(),
      sid: randomUUID(),
      role: 'user' as const,
      auth_time: Math.floor(Date.now() / 1000),
      amr: ['pwd', 'otp', 'mfa'] as AuthenticationMethod[],
    },
    api_key: { sub: randomUUID(), key_id: randomUUID() },
    anonymous: { sub: 'anonymous' },
    service: { sub: 'gateway' },
  }[kind];
  const role = org?.role ?? 'viewer';
  const permissions = role === 'api_key' ? [] : [...permissionsOf(role)];
  return { kind, ...base, ...rest, ...(org ? { org: { plan: 'free', permissions, ...org, role } } : {}) };
}

/** A signed identity for one audience, as the value of its header. */
export function identity(audience: string, about: TestIdentity = {}): string {
  return signer.sign(claims(about), audience);
}

/** The header that makes a request come from that identity. */
export function identityHeaders(audience: string, about: TestIdentity = {}): Record<string, string> {
  return { [IDENTITY_HEADER]: identity(audience, about) };
}

/** What a service under test verifies identities with. */
export function testVerifier(audience: string): IdentityVerifier {
  return createVerifier(publicKeys, audience);
}
