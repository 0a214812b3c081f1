// No spelling but ours: what is anything else goes no further.
const OWN = /^__Host-gatehouse_[a-z]+=[A-Za-z0-9._~-]*$/;
// Browsers read `=name=value` as a cookie without a name, which goes out again as `name=value`.
const SETS_OWN = /^[\s=]*__host-gatehouse_/i;

/** Our own cookies of a `cookie` header, for the one service that reads them; undefined when there is none. */
export function ownCookies(header: string): string | undefined {
  if (!header.includes('__Host-gatehouse_')) return undefined;
  const own = header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => OWN.test(pair));
  return own.length > 0 ? own.join('; ') : undefined;
}

/** Whether a `set-cookie` value is for a cookie of ours, by any reading of a browser. */
export function setsOwnCookie(value: string): boolean {
  return SETS_OWN.test(value);
}
