import { isForeignHash } from '../passwords/foreign-hashes.ts';

const ARGON2 =
  /^(?:argon2)?\$argon2(?:id|i|d)\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,}$/;
const PBKDF2 = /^(?:\$pbkdf2(?:-sha256|-sha512|)\$|pbkdf2_sha(?:1|256)\$|pbkdf2:sha(?:1|256|512):)(\d+)\$/;
const SCRYPT = /^scrypt:(\d+):(\d+):(\d+)\$/;
const SCRYPT_PHC = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$/;

const MAX_KIB = 1_048_576;
const MAX_ITERATIONS = 10_000_000;
const MAX_SCRYPT_BYTES = 511 * 1024 * 1024;

/**
 * Whether a password can be verified against a hash of another system. Also its cost is looked at: a hash whose cost is
 * out of bounds would be stored and never match.
 */
export function isVerifiable(hash: string): boolean {
  if (!isForeignHash(hash)) return false;
  if (hash.includes('$argon2')) {
    const [memory = 0, passes = 0, lanes = 0] = numbers(ARGON2, hash);
    return lanes >= 1 && passes >= 1 && memory >= 8 * lanes && memory <= MAX_KIB;
  }
  const [iterations] = numbers(PBKDF2, hash);
  if (iterations !== undefined) return iterations >= 1 && iterations <= MAX_ITERATIONS;
  const [ln, ...blocks] = numbers(SCRYPT_PHC, hash);
  if (ln !== undefined) return isScryptInBounds(2 ** ln, blocks);
  const [n, ...rest] = numbers(SCRYPT, hash);
  return n === undefined || isScryptInBounds(n, rest);
}

function isScryptInBounds(n: number, [r = 0, p = 0]: number[]): boolean {
  return n >= 2 && Number.isInteger(Math.log2(n)) && r >= 1 && p >= 1 && 128 * r * (n + p) <= MAX_SCRYPT_BYTES;
}

function numbers(format: RegExp, hash: string): number[] {
  const [, ...groups] = format.exec(hash) ?? [];
  return groups.map(Number);
}
