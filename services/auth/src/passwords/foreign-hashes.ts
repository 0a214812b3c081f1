import { pbkdf2, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import bcrypt from 'bcrypt';
import { verifyArgon2 } from './argon2.ts';

type Verify = (match: RegExpExecArray, password: string) => Promise<boolean>;

const MAX_ITERATIONS = 10_000_000;
const MAX_SCRYPT_BYTES = 511 * 1024 * 1024;
// What N = 2^20, r = 8, p = 1 works through, the most that is recommended for anything: seconds, and not hours.
const MAX_SCRYPT_WORK = 2 ** 30;
// A shorter one would be met by chance, and one of no bytes by every password.
export const MIN_TAG_BYTES = 16;
const deriveKey = promisify(pbkdf2);
const deriveScrypt = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

// Hashes of the systems that users are moved from. Each verifies the password as that system did: unpeppered, not
// normalised, and with bcrypt cut after 72 bytes. A hash that matches is replaced in the same login.
const FORMATS: readonly [RegExp, Verify][] = [
  // node-bcrypt knows 2a and 2b; PHP's 2y is 2b by another name.
  [
    /^\$2[aby]\$(0[4-9]|1[0-7])\$([./A-Za-z0-9]{53})$/,
    ([, cost, rest], password) => bcrypt.compare(password, `$2b$${cost}$${rest}`),
  ],
  [/^(?:argon2)?(\$argon2(?:id|i|d)\$.+)$/, ([, phc = ''], password) => verifyArgon2(phc, password)],
  // passlib: salt and checksum in its own base64, where "." stands for "+".
  [
    /^\$pbkdf2(-sha256|-sha512|)\$(\d{1,8})\$([./A-Za-z0-9]+)\$([./A-Za-z0-9]+)$/,
    ([, digest, iterations, salt = '', tag = ''], password) =>
      verifyPbkdf2(password, digest ? digest.slice(1) : 'sha1', Number(iterations), passlib64(salt), passlib64(tag)),
  ],
  // Django: the salt is text.
  [
    /^pbkdf2_(sha256|sha1)\$(\d{1,8})\$([^$]+)\$([A-Za-z0-9+/]+=*)$/,
    ([, digest = '', iterations, salt = '', tag = ''], password) =>
      verifyPbkdf2(password, digest, Number(iterations), Buffer.from(salt), Buffer.from(tag, 'base64')),
  ],
  // werkzeug: the salt is text, the tag hexadecimal.
  [
    /^pbkdf2:(sha1|sha256|sha512):(\d{1,8})\$([^$]+)\$([0-9a-f]+)$/,
    ([, digest = '', iterations, salt = '', tag = ''], password) =>
      verifyPbkdf2(password, digest, Number(iterations), Buffer.from(salt), Buffer.from(tag, 'hex')),
  ],
  [
    /^scrypt:(\d{1,8}):(\d{1,3}):(\d{1,3})\$([^$]+)\$([0-9a-f]+)$/,
    ([, n, r, p, salt = '', tag = ''], password) =>
      verifyScrypt(password, Buffer.from(salt), Buffer.from(tag, 'hex'), { N: Number(n), r: Number(r), p: Number(p) }),
  ],
  // PHC, as passlib writes it.
  [
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/,
    ([, ln, r, p, salt = '', tag = ''], password) =>
      verifyScrypt(password, Buffer.from(salt, 'base64'), Buffer.from(tag, 'base64'), {
        N: 2 ** Number(ln),
        r: Number(r),
        p: Number(p),
      }),
  ],
];

/** Whether a stored hash is one that can be verified once and replaced. */
export function isForeignHash(stored: string): boolean {
  return FORMATS.some(([format]) => format.test(stored));
}

/** Verifies a password against the hash of another system; false for a format that is not known. */
export async function verifyForeignHash(stored: string, password: string): Promise<boolean> {
  for (const [format, verify] of FORMATS) {
    const match = format.exec(stored);
    if (match) return verify(match, password);
  }
  return false;
}

/** The bounds of a hash's cost: beyond them it is not computed, whoever asks. */
export function isPbkdf2InBounds(iterations: number): boolean {
  return iterations >= 1 && iterations <= MAX_ITERATIONS;
}

interface ScryptCost {
  N: number;
  r: number;
  p: number;
}

export function isScryptInBounds({ N, r, p }: ScryptCost): boolean {
  // The last of them is RFC 7914's own, which OpenSSL holds to.
  const sound = N >= 2 && Number.isInteger(Math.log2(N)) && r >= 1 && p >= 1 && Math.log2(N) < 16 * r;
  return sound && 128 * r * (N + p) <= MAX_SCRYPT_BYTES && 128 * N * r * p <= MAX_SCRYPT_WORK;
}

async function verifyPbkdf2(password: string, digest: string, iterations: number, salt: Buffer, tag: Buffer) {
  if (!isPbkdf2InBounds(iterations) || tag.length < MIN_TAG_BYTES) return false;
  return timingSafeEqual(await deriveKey(password, salt, iterations, tag.length, digest), tag);
}

async function verifyScrypt(password: string, salt: Buffer, tag: Buffer, { N, r, p }: ScryptCost) {
  if (!isScryptInBounds({ N, r, p }) || tag.length < MIN_TAG_BYTES) return false;
  const maxmem = 128 * r * (N + p) + 1024 * 1024;
  return timingSafeEqual(await deriveScrypt(password, salt, tag.length, { N, r, p, maxmem }), tag);
}

function passlib64(text: string): Buffer {
  return Buffer.from(text.replaceAll('.', '+'), 'base64');
}
