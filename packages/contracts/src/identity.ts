import { z } from 'zod';
import { OrgPermission, OrgRole } from './permissions.ts';

/** Header that carries the signed identity from the gateway to services and upstreams. */
export const IDENTITY_HEADER = 'gatehouse-identity';
/** `typ` of an identity (RFC 8725, section 3.11): keeps it apart from every other token that we sign. */
export const IDENTITY_TYPE = 'identity+jwt';
/** `typ` of an access token (RFC 9068, section 2.1). */
export const ACCESS_TOKEN_TYPE = 'at+jwt';
export const IDENTITY_ISSUER = 'gatehouse';
/** Lifetime of an identity in seconds. */
export const IDENTITY_TTL_SECONDS = 60;

export const PlatformRole = z.enum(['admin', 'user', 'guest']);
export type PlatformRole = z.infer<typeof PlatformRole>;

export const Plan = z.enum(['free', 'pro', 'enterprise']);
export type Plan = z.infer<typeof Plan>;

/**
 * How a session was authenticated (RFC 8176): `pwd` a password, `otp` a one-time password or recovery code, `email` a
 * code by mail, `mfa` more than one of them or a device that did so before.
 */
export const AuthenticationMethod = z.enum(['pwd', 'otp', 'email', 'mfa']);
export type AuthenticationMethod = z.infer<typeof AuthenticationMethod>;

/** How long a proof of who one is counts for changing a factor, an address, a key or an owner, in seconds. */
export const FRESH_PROOF_SECONDS = 600;

/** The organization that a request acts for, and what the principal may do in it. */
export const IdentityOrg = z.object({
  id: z.uuid(),
  role: z.union([OrgRole, z.literal('platform_admin'), z.literal('api_key')]),
  permissions: z.array(OrgPermission),
  plan: Plan,
});
export type IdentityOrg = z.infer<typeof IdentityOrg>;

/**
 * Who a request comes from, as the gateway vouches for it to one audience.
 * `sub` is the user id, the id of the API key, `anonymous`, or the name of the calling process.
 */
export const Identity = z.object({
  iss: z.literal(IDENTITY_ISSUER),
  aud: z.string(),
  sub: z.string(),
  iat: z.number(),
  exp: z.number(),
  kind: z.enum(['user', 'api_key', 'anonymous', 'service']),
  sid: z.uuid().optional(),
  key_id: z.uuid().optional(),
  role: PlatformRole.optional(),
  /** When the user last proved who they are (OpenID Connect Core, section 2), in seconds. */
  auth_time: z.number().optional(),
  amr: z.array(AuthenticationMethod).optional(),
  org: IdentityOrg.optional(),
});
export type Identity = z.infer<typeof Identity>;

/** What a signer adds by itself is left out. */
export type IdentityClaims = Omit<Identity, 'iss' | 'aud' | 'iat' | 'exp'>;
