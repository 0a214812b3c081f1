import { setsOwnCookie } from '../requests/cookies.ts';

// Hop by hop (RFC 9110, section 7.6.1), what tells an attacker about the upstream, and what only the gateway may say.
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-connection',
  'server',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-powered-by',
  'x-request-id',
  'ratelimit',
  'ratelimit-policy',
  'alt-svc',
]);
const DROPPED_PREFIX = /^(?:gatehouse-|x-gatehouse-|access-control-|x-ratelimit-|x-internal-)/;

const NAMES_MAX = 2_000;
const passes = new Map<string, boolean>();

function mayPass(name: string): boolean {
  let known = passes.get(name);
  if (known === undefined) {
    known = !DROPPED.has(name) && !DROPPED_PREFIX.test(name);
    if (passes.size >= NAMES_MAX) passes.clear();
    passes.set(name, known);
  }
  return known;
}

/**
 * The upstream's headers that the client gets, as a flat list. Names come in lower case. Our cookies are set only by
 * whom they belong to: an upstream that set one would sign its users in as somebody else.
 */
export function answerHeaders(
  headers: Record<string, string | string[] | undefined>,
  { setsOurCookies = false } = {},
): string[] {
  const listed = connectionListed(headers.connection);
  const flat: string[] = [];
  for (const name in headers) {
    if (!mayPass(name) || listed?.has(name)) continue;
    let value = headers[name];
    if (name === 'set-cookie' && !setsOurCookies) value = [value ?? []].flat().filter((one) => !setsOwnCookie(one));
    if (typeof value === 'string') flat.push(name, value);
    else if (value !== undefined) for (const one of value) flat.push(name, one);
  }
  return flat;
}

function connectionListed(connection: string | string[] | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  const listed = new Set(
    String(connection)
      .split(',')
      .map((option) => option.trim().toLowerCase()),
  );
  listed.delete('content-length');
  listed.delete('content-type');
  return listed;
}
