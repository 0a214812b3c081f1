import { API_KEY_PATHS, API_KEY_SCOPES, type ApiKeyScope } from '@gatehouse/contracts/api-keys';
import { readNetwork } from '@gatehouse/kit/addresses';
import { z } from 'zod';

const DAY_MS = 86_400_000;
export const LIFETIME_DEFAULT_MS = 365 * DAY_MS;
export const LIFETIME_MAX_MS = 2 * 365 * DAY_MS;
export const OVERLAP_DEFAULT_SECONDS = 86_400;
export const OVERLAP_MAX_SECONDS = 7 * 86_400;

export const Scope = z.enum(API_KEY_SCOPES as [ApiKeyScope, ...ApiKeyScope[]]);

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', '*'] as const;
// Segments of plain characters and at most a last "/*": nothing that one parser reads otherwise than another.
const PATH = /^(?:\/[A-Za-z0-9_~.-]+)+(?:\/\*?)?$/;
const isCanonical = (path: string) => !path.split('/').some((segment) => /^\.+$/.test(segment));
const isReachable = (path: string) => Object.values(API_KEY_PATHS).some((prefix) => path.startsWith(prefix));

/** A method and a path that a key may call; a last `/*` stands for everything below. */
export const Rule = z.strictObject({
  method: z.enum(METHODS),
  path: z
    .string()
    .max(256)
    .regex(PATH, 'must be a plain path, optionally with /* at its end')
    .refine(isCanonical, 'must not contain dot segments')
    .refine(isReachable, 'must lie under /api/proxy/, /api/standalone/ or /api/telemetry/'),
});

/** An address or network (CIDR) from which a key may be used. */
export const Network = z
  .string()
  .max(49)
  .refine((value) => readNetwork(value) !== undefined, 'must be an IP address or a network such as 192.0.2.0/24');

/** When a key ends: within two years from now, a year when nothing is said. Undefined when out of bounds. */
export function expiryOf(asked: string | undefined, now: Date): Date | undefined {
  if (asked === undefined) return new Date(now.getTime() + LIFETIME_DEFAULT_MS);
  const expiry = new Date(asked);
  const lifetimeMs = expiry.getTime() - now.getTime();
  return lifetimeMs > 0 && lifetimeMs <= LIFETIME_MAX_MS ? expiry : undefined;
}
