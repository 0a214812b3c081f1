import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import {
  IDENTITY_ISSUER,
  IDENTITY_TTL_SECONDS,
  IDENTITY_TYPE,
  Identity,
  type IdentityClaims,
} from '@gatehouse/contracts/identity';
import jwt from 'jsonwebtoken';
import { CLOCK_LEEWAY_SECONDS } from './clock-check.ts';
import { AppError } from './errors.ts';

/** A public key as it is published (RFC 7517). */
export interface PublicJwk extends JsonWebKey {
  kid: string;
  alg: 'ES256';
  use: 'sig';
}

/** The public half of a P-256 key as JWK; `kid` is its thumbprint (RFC 7638). */
export function publicJwk(key: KeyObject): PublicJwk {
  const { crv, kty, x, y } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' } as PublicJwk;
}

export interface IdentitySigner {
  jwk: PublicJwk;
  sign(claims: IdentityClaims, audience: string): string;
}

/** Signs identities (ES256, 60 seconds). Only the gateway holds such a key. */
export function createSigner(privateKeyPem: string): IdentitySigner {
  const key = createPrivateKey(privateKeyPem);
  const jwk = publicJwk(key);
  const header = { alg: 'ES256', typ: IDENTITY_TYPE } as const;
  return {
    jwk,
    sign: (claims, audience) =>
      jwt.sign(claims, key, {
        algorithm: 'ES256',
        keyid: jwk.kid,
        header,
        audience,
        issuer: IDENTITY_ISSUER,
        expiresIn: IDENTITY_TTL_SECONDS,
      }),
  };
}

export type IdentityVerifier = (token: string | undefined) => Identity;

const CACHE_MAX = 10_000;

/**
 * Verifies identities for one audience against the public keys that the deployment gave this process (PEM, one or
 * more). A verified token is remembered until it expires: the gateway sends the same one for up to a minute.
 * Throws `auth.required` on anything that is not a valid identity for this audience.
 */
export function createVerifier(publicKeyPems: string, audience: string): IdentityVerifier {
  const keys = new Map<string, KeyObject>();
  for (const [block] of publicKeyPems.matchAll(/-----BEGIN PUBLIC KEY-----[\s\S]+?-----END PUBLIC KEY-----/g)) {
    const key = createPublicKey(block);
    keys.set(publicJwk(key).kid, key);
  }
  if (keys.size === 0) throw new Error('no public identity key was given');
  const cache = new Map<string, Identity>();

  return (token) => {
    if (!token) throw new AppError('auth.required');
    const known = cache.get(token);
    if (known && known.exp + CLOCK_LEEWAY_SECONDS > Date.now() / 1000) return known;
    const identity = verify(token, keys, audience);
    if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value as string);
    cache.set(token, identity);
    return identity;
  };
}

function verify(token: string, keys: Map<string, KeyObject>, audience: string): Identity {
  try {
    const header = jwt.decode(token, { complete: true })?.header;
    const key = header?.typ === IDENTITY_TYPE ? keys.get(header.kid ?? '') : undefined;
    if (!key) throw new Error('unknown key or type');
    const claims = jwt.verify(token, key, {
      algorithms: ['ES256'],
      issuer: IDENTITY_ISSUER,
      clockTolerance: CLOCK_LEEWAY_SECONDS,
    });
    const identity = Identity.parse(claims);
    // Compared here and not by the library, which also accepts a list of audiences.
    if (identity.aud !== audience) throw new Error('other audience');
    return identity;
  } catch (error) {
    throw new AppError('auth.required', 'No valid identity.', { cause: error });
  }
}
