import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Clock } from '@gatehouse/kit/clock';
import { z } from 'zod';

const FRESH_MS = 5 * 60_000;
const UNKNOWN_KID_COOLDOWN_MS = 30_000;
const RETRY_AFTER_FAILURE_MS = 1_000;

// Public members only: a private one that slipped in is not read, and not passed on by our own JWKS.
const Jwk = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  kid: z.string().min(1).max(128),
  alg: z.literal('ES256').default('ES256'),
  use: z.literal('sig').default('sig'),
});
export type AccessTokenJwk = z.infer<typeof Jwk>;
const Jwks = z.object({ keys: z.array(Jwk).max(32) });

export interface KeySet {
  /** The key, `undefined` when there is none by that id, or a promise when the set must be fetched first. */
  find(kid: string): KeyObject | undefined | Promise<void>;
  /** The set as auth publishes it; fetched when never seen. */
  published(): Promise<AccessTokenJwk[]>;
  /** Seconds since the last successful fetch, -1 before the first. */
  ageSeconds(): number;
}

/**
 * Auth's access-token keys: fetched once and shared by everyone who waits, refreshed in the background after five
 * minutes, and once per 30 seconds at most because a token names a key that is not there.
 */
export function createKeySet({ fetch, clock }: { fetch: () => Promise<unknown>; clock: Clock }): KeySet {
  let keys = new Map<string, KeyObject>();
  let list: AccessTokenJwk[] = [];
  let fetchedAt = 0;
  let triedAt = 0;
  let inFlight: Promise<void> | undefined;

  function refresh(): Promise<void> {
    inFlight ??= load().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  }

  async function load(): Promise<void> {
    triedAt = clock().getTime();
    const jwks = Jwks.parse(await fetch());
    list = jwks.keys;
    keys = new Map(jwks.keys.map((jwk) => [jwk.kid, createPublicKey({ key: { ...jwk }, format: 'jwk' })]));
    fetchedAt = clock().getTime();
  }

  // A clock that went back an hour must not keep us for that hour from asking.
  const since = (time: number, now: number) => Math.abs(now - time);
  const mayRetry = (now: number) => since(triedAt, now) >= RETRY_AFTER_FAILURE_MS;

  return {
    find(kid) {
      const now = clock().getTime();
      // Nothing at all is known yet: without keys no token can be judged.
      if (fetchedAt === 0) return inFlight || triedAt === 0 || mayRetry(now) ? refresh() : unreachable();
      if (since(fetchedAt, now) > FRESH_MS && !inFlight && mayRetry(now)) refresh().catch(() => undefined);
      const key = keys.get(kid);
      if (key) return key;
      if (since(triedAt, now) >= UNKNOWN_KID_COOLDOWN_MS) return refresh().catch(() => undefined);
      return undefined;
    },
    async published() {
      if (fetchedAt === 0) await refresh();
      return list;
    },
    ageSeconds: () => (fetchedAt === 0 ? -1 : since(fetchedAt, clock().getTime()) / 1000),
  };
}

function unreachable(): Promise<never> {
  return Promise.reject(new Error('the access-token keys could not be fetched'));
}
