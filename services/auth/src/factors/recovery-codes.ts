import { randomBytes } from 'node:crypto';
import { sha256 } from '@gatehouse/kit/crypto';
import type { Tx } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { deleteFactor, deleteRecoveryCodes, insertConfirmed, insertRecoveryCodes, takeRecoveryCode } from './store.ts';

const CODES = 10;
// 24 letters of five bits: 120 bits, beyond what SHA-256 alone could be searched for.
const LETTERS = 24;
// Crockford's alphabet: nothing in it is read as something else.
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** Ten new codes in the place of those that were there; they are told once, and only their hashes are kept. */
export async function replaceRecoveryCodes(tx: Tx, userId: string, now: Date): Promise<string[]> {
  const codes = Array.from({ length: CODES }, newCode);
  await dropRecoveryCodes(tx, userId);
  await insertConfirmed(tx, { id: newId(), user_id: userId, method: 'recovery', now });
  await insertRecoveryCodes(tx, userId, codes.map(hashOf), now);
  return codes;
}

export async function dropRecoveryCodes(tx: Tx, userId: string): Promise<void> {
  await deleteRecoveryCodes(tx, userId);
  await deleteFactor(tx, userId, 'recovery');
}

/** Uses a code up; the same one is never taken again. */
export function takeRecovery(tx: Tx, userId: string, code: string): Promise<boolean> {
  return takeRecoveryCode(tx, userId, hashOf(code));
}

function newCode(): string {
  const letters = Array.from(randomBytes(LETTERS), (byte) => ALPHABET[byte % 32]).join('');
  return letters.replace(/(.{4})(?=.)/g, '$1-');
}

// As people type it: letter case, hyphens and what looks alike do not count.
function hashOf(code: string): Buffer {
  const letters = code.toLowerCase().replace(/[\s-]/g, '').replace(/o/g, '0').replace(/[il]/g, '1');
  return sha256(letters);
}
