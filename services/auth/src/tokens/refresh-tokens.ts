import { type KeyObject, timingSafeEqual } from 'node:crypto';
import { hmac } from '@gatehouse/kit/crypto';

const PREFIX = 'ghr_';
const BODY_BYTES = 24;
const MAC_BYTES = 32;
const LENGTH = PREFIX.length + Math.ceil(((BODY_BYTES + MAC_BYTES) * 4) / 3);

/** What a refresh token says of itself; true only when `verifyRefreshToken` agrees. */
export interface RefreshClaim {
  session_id: string;
  generation: number;
}

export interface PresentedToken extends RefreshClaim {
  mac: Buffer;
}

/**
 * A refresh token that describes itself: session, generation and an HMAC with the session's own key. Because it is
 * derived, everyone who presents the same parent at once gets the same successor, without it being stored anywhere.
 */
export function encodeRefreshToken(claim: RefreshClaim, key: KeyObject | Buffer): string {
  const body = bodyOf(claim);
  return PREFIX + Buffer.concat([body, hmac(key, body)]).toString('base64url');
}

/** Reads a token without judging it; undefined when it does not have the form. */
export function decodeRefreshToken(token: string): PresentedToken | undefined {
  if (token.length !== LENGTH || !token.startsWith(PREFIX)) return undefined;
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
  const generation = bytes.length === BODY_BYTES + MAC_BYTES ? Number(bytes.readBigUInt64BE(16)) : -1;
  // One spelling only: base64url would also read a token whose unused last bits differ.
  if (!Number.isSafeInteger(generation) || generation < 0 || PREFIX + bytes.toString('base64url') !== token)
    return undefined;
  const hex = bytes.toString('hex', 0, 16);
  const session_id = [0, 8, 12, 16, 20].map((from, index, all) => hex.slice(from, all[index + 1] ?? 32)).join('-');
  return { session_id, generation, mac: bytes.subarray(BODY_BYTES) };
}

export function verifyRefreshToken(claim: PresentedToken, key: KeyObject): boolean {
  return timingSafeEqual(claim.mac, hmac(key, bodyOf(claim)));
}

function bodyOf({ session_id, generation }: RefreshClaim): Buffer {
  const body = Buffer.alloc(BODY_BYTES);
  body.write(session_id.replaceAll('-', ''), 'hex');
  body.writeBigUInt64BE(BigInt(generation), 16);
  return body;
}
