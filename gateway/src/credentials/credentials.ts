import { isWellFormedApiKey, resemblesApiKey } from '@gatehouse/contracts/api-keys';
import type { RequestHead } from '../requests/head.ts';

export type Credential =
  | { kind: 'none' }
  | { kind: 'access_token'; token: string }
  | { kind: 'api_key'; key: string }
  | { kind: 'malformed' }
  | { kind: 'ambiguous' };

const NONE: Credential = { kind: 'none' };
const MALFORMED: Credential = { kind: 'malformed' };
const AMBIGUOUS: Credential = { kind: 'ambiguous' };

const MAX_TOKEN = 4096;

/**
 * The one credential of a request (RFC 6750, section 2.1, or X-API-Key). Tokens in the query string are not looked
 * for. Two of them are refused: which one counts would be anybody's guess, and the record names one actor.
 */
export function readCredential(head: RequestHead): Credential {
  const { authorization, apiKey } = head;
  if (authorization === undefined && apiKey === undefined) return NONE;
  if (head.repeated === 'authorization' || head.repeated === 'x-api-key') return AMBIGUOUS;
  if (authorization === undefined) return keyCredential(apiKey as string);
  const bearer = bearerToken(authorization);
  if (bearer === undefined) return MALFORMED;
  if (apiKey !== undefined && apiKey !== bearer) return AMBIGUOUS;
  return resemblesApiKey(bearer) ? keyCredential(bearer) : { kind: 'access_token', token: bearer };
}

function bearerToken(authorization: string): string | undefined {
  const scheme = authorization.slice(0, 7);
  if (scheme !== 'Bearer ' && scheme.toLowerCase() !== 'bearer ') return undefined;
  const token = authorization.slice(7);
  return token.length > 0 && token.length <= MAX_TOKEN ? token : undefined;
}

function keyCredential(key: string): Credential {
  return isWellFormedApiKey(key) ? { kind: 'api_key', key } : MALFORMED;
}
