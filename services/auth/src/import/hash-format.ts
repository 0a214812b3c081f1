import { isArgon2InBounds } from '../passwords/argon2.ts';
import { isForeignHash, isPbkdf2InBounds, isScryptInBounds, MIN_TAG_BYTES } from '../passwords/foreign-hashes.ts';

const BCRYPT = /^\$2/;
const ARGON2 =
  /^(?:argon2)?\$argon2(?:id|i|d)\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]+$/;
const PBKDF2 = /^(?:\$pbkdf2(?:-sha256|-sha512|)\$|pbkdf2_sha(?:1|256)\$|pbkdf2:sha(?:1|256|512):)(\d+)\$/;
const SCRYPT = /^scrypt:(\d+):(\d+):(\d+)\$/;
const SCRYPT_PHC = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$/;
// werkzeug's alone are hexadecimal.
const HEXADECIMAL = /^(?:pbkdf2|scrypt):/;

/**
 * Whether a password can be verified against a hash of another system. Also its cost and the length of its tag are
 * looked at: a hash that is out of bounds would be stored and never match.
 */
export function isVerifiable(hash: string): boolean {
  if (!isForeignHash(hash)) return false;
  if (BCRYPT.test(hash)) return true;
  return tagOf(hash).length >= MIN_TAG_BYTES && isCostInBounds(hash);
}

function isCostInBounds(hash: string): boolean {
  if (hash.includes('$argon2')) {
    const [memory = 0, passes = 0, lanes = 0] = numbers(ARGON2, hash);
    return lanes >= 1 && passes >= 1 && memory >= 8 * lanes && isArgon2InBounds(memory, passes);
  }
  const [iterations] = numbers(PBKDF2, hash);
  if (iterations !== undefined) return isPbkdf2InBounds(iterations);
  const [ln, ...phc] = numbers(SCRYPT_PHC, hash);
  const [N = 0, r = 0, p = 0] = ln === undefined ? numbers(SCRYPT, hash) : [2 ** ln, ...phc];
  return isScryptInBounds({ N, r, p });
}

function tagOf(hash: string): Buffer {
  const tag = hash.slice(hash.lastIndexOf('$') + 1);
  return HEXADECIMAL.test(hash) ? Buffer.from(tag, 'hex') : Buffer.from(tag.replaceAll('.', '+'), 'base64');
}

function numbers(format: RegExp, hash: string): number[] {
  const [, ...groups] = format.exec(hash) ?? [];
  return groups.map(Number);
}
