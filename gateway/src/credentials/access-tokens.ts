import { ACCESS_TOKEN_TYPE, AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { CLOCK_LEEWAY_SECONDS } from '@gatehouse/kit/clock-check';
import jwt from 'jsonwebtoken';
import { z } from 'zod';
import { createRecent } from '../recent.ts';
import type { KeySet } from './jwks.ts';
import { createPrincipal, type UserPrincipal } from './principals.ts';

/** Why a token was refused, as the metric counts it. */
export const TOKEN_FAULTS = ['malformed', 'alg', 'type', 'unknown_kid', 'bad_signature', 'expired', 'claims'] as const;
export type TokenFault = (typeof TOKEN_FAULTS)[number];

// Nothing that we sign lives longer; a token that says so was not made by our code.
const MAX_LIFETIME_SECONDS = 24 * 3600;
const CACHE_MAX = 20_000;

const Header = z.object({ alg: z.string(), typ: z.string().optional(), kid: z.string().max(128).optional() });
const Claims = z.object({
  sub: z.uuid(),
  sid: z.uuid(),
  iat: z.int(),
  exp: z.int(),
  // Absent from tokens of the release before: they prove nothing recent.
  auth_time: z.int().default(0),
  amr: z.array(AuthenticationMethod).default([]),
});

interface Options {
  keys: KeySet;
  issuer: string;
  audience: string;
  clock: Clock;
}

/** A verified token's principal, what is wrong with the token, or a promise to wait for before asking again. */
export type Verdict = UserPrincipal | TokenFault | Promise<void>;

/**
 * Verifies access tokens (RFC 9068; RFC 8725, sections 3.1 to 3.12): one algorithm, one type, our keys by id only.
 * A verified token is remembered by its exact text until it expires; whether its session lives is asked every time.
 */
export function createAccessTokens({ keys, issuer, audience, clock }: Options) {
  const verified = createRecent<UserPrincipal>(CACHE_MAX);

  function verify(token: string): Verdict {
    const header = readHeader(token);
    if (!header) return 'malformed';
    if (header.alg !== 'ES256') return 'alg';
    if (header.typ !== ACCESS_TOKEN_TYPE) return 'type';
    if (header.kid === undefined) return 'unknown_kid';
    const key = keys.find(header.kid);
    if (key === undefined) return 'unknown_kid';
    if (key instanceof Promise) return key;
    const nowSeconds = Math.floor(clock().getTime() / 1000);
    try {
      const claims = jwt.verify(token, key, {
        algorithms: ['ES256'],
        issuer,
        clockTolerance: CLOCK_LEEWAY_SECONDS,
        clockTimestamp: nowSeconds,
      });
      return toPrincipal(token, claims, nowSeconds);
    } catch (error) {
      return faultOf(error);
    }
  }

  function toPrincipal(token: string, payload: unknown, nowSeconds: number): UserPrincipal | TokenFault {
    const { success, data: claims } = Claims.safeParse(payload);
    // The library would also take a list in which our audience is one of several.
    if (!success || (payload as { aud?: unknown }).aud !== audience) return 'claims';
    if (claims.iat > nowSeconds + CLOCK_LEEWAY_SECONDS) return 'claims';
    if (claims.exp - claims.iat > MAX_LIFETIME_SECONDS) return 'claims';
    const principal = createPrincipal<UserPrincipal>({
      kind: 'user',
      user_id: claims.sub,
      session_id: claims.sid,
      auth_time: claims.auth_time,
      amr: claims.amr,
      mfa: claims.amr.includes('mfa'),
      memberOf: '',
      memberKey: '',
      expiresAtMs: (claims.exp + CLOCK_LEEWAY_SECONDS) * 1000,
    });
    verified.set(token, principal);
    return principal;
  }

  return {
    read(token: string): Verdict {
      const known = verified.get(token);
      if (known === undefined) return verify(token);
      if (clock().getTime() < known.expiresAtMs) return known;
      verified.delete(token);
      return 'expired';
    },
  };
}

export type AccessTokens = ReturnType<typeof createAccessTokens>;

function readHeader(token: string): z.infer<typeof Header> | undefined {
  const end = token.indexOf('.');
  if (end <= 0 || end > 1024) return undefined;
  try {
    return Header.safeParse(JSON.parse(Buffer.from(token.slice(0, end), 'base64url').toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof jwt.TokenExpiredError) return 'expired';
  if (error instanceof jwt.NotBeforeError) return 'claims';
  const message = error instanceof Error ? error.message : '';
  if (message === 'invalid signature') return 'bad_signature';
  if (message.startsWith('jwt ') && !message.startsWith('jwt issuer')) return 'malformed';
  return message.startsWith('invalid token') ? 'malformed' : 'claims';
}
