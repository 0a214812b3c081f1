import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '@gatehouse/kit/errors';

// The prefix makes browsers hold it to this very host, to TLS and to the whole of it (RFC 6265bis, section 4.1.3.2);
// the gateway passes no other cookies on, and these to this service only.
const PREFIX = '__Host-gatehouse_';
export type CookieName = 'device' | 'refresh';

/**
 * The value of one of our cookies; undefined without it. Throws `request.invalid` when it came twice, for then there
 * is no telling which one is ours.
 */
export function readCookie({ cookie }: IncomingHttpHeaders, name: CookieName): string | undefined {
  if (cookie === undefined) return undefined;
  const start = `${PREFIX}${name}=`;
  const values = cookie
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(start))
    .map((pair) => pair.slice(start.length));
  if (values.length > 1)
    throw new AppError('request.invalid', 'A cookie was given more than once.', {
      details: [{ pointer: `/cookie/${PREFIX}${name}`, message: 'is given more than once' }],
    });
  return values[0];
}

/** A `Set-Cookie` value. Scripts never see it, and no other site's page makes a browser send it. */
export function writeCookie(name: CookieName, value: string, maxAgeSeconds: number): string {
  return `${PREFIX}${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}`;
}

export function clearCookie(name: CookieName): string {
  return writeCookie(name, '', 0);
}
