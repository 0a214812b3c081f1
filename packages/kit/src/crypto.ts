import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Keys of one purpose: the first one seals, each of them opens. So a key can be replaced while several processes run:
 * the next one is added everywhere, then the two change places, then the old one goes.
 */
export type SealingKeys = readonly [Buffer, ...Buffer[]];

/** A 32-byte key for one purpose, from a secret (HKDF-SHA-256, RFC 5869). */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'gatehouse', purpose, 32));
}

/** The sealing keys of one purpose, from the secret and from the one that it replaces or that is to replace it. */
export function deriveSealingKeys(secret: string, alternate: string | undefined, purpose: string): SealingKeys {
  return alternate ? [deriveKey(secret, purpose), deriveKey(alternate, purpose)] : [deriveKey(secret, purpose)];
}

/**
 * Encrypts and authenticates (AES-256-GCM, NIST SP 800-38D): version byte, nonce, tag, ciphertext.
 * `aad` names where the value lives (table, column, row, owner), so that a row moved elsewhere does not open.
 */
export function seal(keys: Buffer | SealingKeys, plaintext: string | Buffer, aad: string): Buffer {
  const key = Buffer.isBuffer(keys) ? keys : keys[0];
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(aad));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), body]);
}

/** Opens what `seal` made; throws when every key, the aad or a single bit differs. */
export function open(keys: Buffer | SealingKeys, sealed: Buffer, aad: string): Buffer {
  if (sealed[0] !== VERSION) throw new Error('sealed value has an unknown version');
  if (Buffer.isBuffer(keys)) return openWith(keys, sealed, aad);
  let refused: unknown;
  for (const key of keys)
    try {
      return openWith(key, sealed, aad);
    } catch (error) {
      refused ??= error;
    }
  throw refused;
}

/** Seals a value anew when it was not sealed with the first key; undefined when nothing is to be done. */
export function reseal(keys: SealingKeys, sealed: Buffer, aad: string): Buffer | undefined {
  try {
    openWith(keys[0], sealed, aad);
    return undefined;
  } catch {
    return seal(keys, open(keys, sealed, aad), aad);
  }
}

function openWith(key: Buffer, sealed: Buffer, aad: string): Buffer {
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
  const tag = sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(aad))
    .setAuthTag(tag);
  return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES + TAG_BYTES)), decipher.final()]);
}

export function sha256(value: string | Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}

/** HMAC-SHA-256 (RFC 2104). A key that is used often costs a quarter of the time as a KeyObject. */
export function hmac(key: string | Buffer | KeyObject, value: string | Buffer): Buffer {
  return createHmac('sha256', key).update(value).digest();
}

/** Compares in time that does not depend on where the values differ, nor on their lengths. */
export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b));
}

/** An unguessable token, base64url. */
export function randomToken(bytes = 32): string {
  return randomBytes(bytes).toString('base64url');
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Base 62 of the bytes read as one big-endian number, padded to the width that the byte count can need. */
export function base62(bytes: Buffer): string {
  const width = Math.ceil((bytes.length * 8) / Math.log2(62));
  let rest = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (; rest > 0n; rest /= 62n) text = BASE62[Number(rest % 62n)] + text;
  return text.padStart(width, '0');
}
