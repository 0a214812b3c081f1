import type { RequestHead } from '../requests/head.ts';

const EXPOSED =
  'x-request-id, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset';
const PREFLIGHT = [
  'access-control-allow-methods',
  'GET, HEAD, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers',
  'authorization, content-type, idempotency-key, x-api-key, x-org-id, x-requested-with',
  'access-control-max-age',
  '600',
];
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
const LOCALHOST = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;

interface CorsSettings {
  /** Origins by name; compared exactly. */
  origins: readonly string[];
  /** The platform's own origin. */
  publicUrl: string;
  /** Development: any port of this machine. */
  localhost: boolean;
}

export type OriginVerdict = 'none' | 'allowed' | 'foreign';

/** Which browsers' pages may use the API (Fetch standard, section 3.2). */
export function createCors({ origins, publicUrl, localhost }: CorsSettings) {
  const allowed = new Set([...origins, new URL(publicUrl).origin]);
  const isAllowed = (origin: string) => allowed.has(origin) || (localhost && LOCALHOST.test(origin));
  return {
    judge({ origin, fetchSite }: RequestHead): OriginVerdict {
      if (origin !== undefined) return isAllowed(origin) ? 'allowed' : 'foreign';
      return fetchSite === 'cross-site' ? 'foreign' : 'none';
    },
  };
}

export type Cors = ReturnType<typeof createCors>;

/** A page of a foreign origin may read nothing, and its requests that change something are not carried out. */
export function changesSomething(method: string): boolean {
  return !SAFE.has(method);
}

/**
 * A page of a named origin may hold its session in a cookie, so that it may send and be sent it. All others get neither
 * header: to a browser that says no.
 */
export function writeCorsHeaders(origin: string | undefined, headers: string[]): void {
  headers.push('vary', 'Origin');
  if (origin === undefined) return;
  headers.push('access-control-allow-origin', origin, 'access-control-allow-credentials', 'true');
  headers.push('access-control-expose-headers', EXPOSED);
}

export function preflightHeaders(): string[] {
  return [...PREFLIGHT];
}
