import { createHmac } from 'node:crypto';
import { deriveKey, hmac } from '@gatehouse/kit/crypto';
import bcrypt from 'bcrypt';
import { hashArgon2, isCurrentArgon2, verifyArgon2 } from './argon2.ts';
import { isForeignHash, verifyForeignHash } from './foreign-hashes.ts';
import type { HashPool } from './pool.ts';
import { isSound } from './strength.ts';

export type PasswordScheme = 'bcrypt' | 'argon2id';

export interface Hasher {
  hash(password: string): Promise<string>;
  /**
   * Verifies against a stored hash, or against a dummy of the same cost where there is none, so that an unknown account
   * takes as long as a known one. `outdated`: right, but stored in a way that is not today's.
   */
  verify(stored: string | null | undefined, password: string): Promise<{ matches: boolean; outdated: boolean }>;
  /** 16 bits by which one of several hashes is chosen before any is verified; worth nothing without the pepper. */
  tag(password: string): number;
  /** Throws `overloaded` when no further hash would be taken. */
  assertRoom(): void;
}

interface HasherOptions {
  scheme: PasswordScheme;
  bcryptCost: number;
  pepper: string;
  pool: HashPool;
}

const PEPPER_VERSION = 1;
const STORED = /^(bcrypt|argon2id)-p(\d+):(.+)$/;

/**
 * Passwords at rest: `<scheme>-p<pepper version>:<hash>`, the hash taken over base64(HMAC-SHA-384(pepper,
 * NFKC(password))). 64 characters: bcrypt cuts nothing and meets no NUL, and without the pepper a stolen table is
 * not even worth guessing at.
 */
export function createHasher({ scheme, bcryptCost, pepper, pool }: HasherOptions): Hasher {
  const prefix = `${scheme}-p${PEPPER_VERSION}:`;
  const peppered = (password: string) =>
    createHmac('sha384', pepper).update(password.normalize('NFKC')).digest('base64');
  const tagKey = deriveKey(pepper, 'password tags');
  const hashNow = (password: string) =>
    pool.run(async () => {
      const message = peppered(password);
      return `${prefix}${scheme === 'bcrypt' ? await bcrypt.hash(message, bcryptCost) : await hashArgon2(message)}`;
    });
  // Made at once, so that not even the first unknown account takes longer than a known one.
  const dummy = hashNow('the password of nobody');
  dummy.catch(() => undefined);

  async function verifyStored(stored: string, password: string): Promise<boolean> {
    const [, storedScheme, version, hash] = STORED.exec(stored) ?? [];
    if (!hash) return verifyForeignHash(stored, password);
    if (Number(version) !== PEPPER_VERSION) return false;
    const message = peppered(password);
    return storedScheme === 'bcrypt' ? bcrypt.compare(message, hash) : verifyArgon2(hash, message);
  }

  function isOutdated(stored: string): boolean {
    const [, storedScheme, , hash] = STORED.exec(stored) ?? [];
    if (!hash || storedScheme !== scheme) return true;
    return scheme === 'bcrypt' ? bcrypt.getRounds(hash) !== bcryptCost : !isCurrentArgon2(hash);
  }

  return {
    hash: hashNow,
    tag: (password) => hmac(tagKey, password.normalize('NFKC')).readUInt16BE(0),
    assertRoom: pool.assertRoom,
    async verify(stored, password) {
      if (!stored || !isSound(password) || !(STORED.test(stored) || isForeignHash(stored))) {
        const nobody = await dummy;
        await pool.run(() => verifyStored(nobody, password));
        return { matches: false, outdated: false };
      }
      const matches = await pool.run(() => verifyStored(stored, password));
      return { matches, outdated: matches && isOutdated(stored) };
    },
  };
}
