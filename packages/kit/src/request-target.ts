// RFC 3986 path characters without `;`, so that no matrix parameter hides from the guard what the service then reads.
const PATH = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,=:@%]*)+$/;
// Every escape of a character that could stand unescaped, that separates, or that ends a string somewhere: of two
// spellings of one path the gateway would judge one and the service would serve the other. `%25` nests escapes.
const ODD_ESCAPE =
  /%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|2[dDeEfF5]|3[0-9bB]|4[1-9A-Fa-f]|5[0-9AaCcFf]|6[1-9A-Fa-f]|7[0-9AaEeFf])/;
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/;
const ODD_IN_QUERY = /[^\u0021-\u007e]|[#\\]|%00/;

const MAX_TARGET = 8192;

export interface Target {
  /** Canonical: one spelling for one resource; `/v1/x` has become `/api/x`. */
  path: string;
  /** With its question mark, or empty. */
  query: string;
}

export type TargetFault = 'malformed' | 'too_long';

/** Splits a request target (RFC 9112, section 3.2.1, origin form only); refuses what has a second reading. */
export function readTarget(url: string): Target | TargetFault {
  if (url.length > MAX_TARGET) return 'too_long';
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? '' : url.slice(mark);
  if (!PATH.test(path) || path.includes('//') || DOT_SEGMENT.test(path)) return 'malformed';
  if (path.includes('%') && ODD_ESCAPE.test(path)) return 'malformed';
  if (query !== '' && ODD_IN_QUERY.test(query)) return 'malformed';
  return { path: path.startsWith('/v1/') ? `/api/${path.slice(4)}` : path, query };
}
