import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { isRecoveryKey, makeRecoveryKey, seal, unseal } from './seal.ts';

const key = makeRecoveryKey();
const plaintext = Buffer.from('{"files":[{"path":"secrets/app/JWT_SECRET"}]}');
const sealed = seal(plaintext, key.publicKey);

describe('a sealed copy', () => {
  test('is opened by the private half of the recovery key, and holds nothing in the clear', () => {
    expect(unseal(sealed, key.privateKey)).toEqual(plaintext);
    expect(sealed.includes('JWT_SECRET')).toBe(false);
    expect(isRecoveryKey(key.privateKey)).toBe(true);
  });

  test('is never the same twice, though its content is', () => {
    expect(seal(plaintext, key.publicKey).subarray(40)).not.toEqual(sealed.subarray(40));
  });

  test('does not open when any byte of it was changed', () => {
    for (let index = 0; index < sealed.length; index++) {
      const changed = Buffer.from(sealed);
      changed[index] = (changed[index] ?? 0) ^ 0x80;
      expect(() => unseal(changed, key.privateKey)).toThrow(/^is (not a sealed copy|sealed to another|damaged)/);
    }
  });

  test('does not open when it was cut short or lengthened', () => {
    for (const length of [0, 8, 84, sealed.length - 1])
      expect(() => unseal(sealed.subarray(0, length), key.privateKey)).toThrow(/^is (not a sealed copy|damaged)/);
    expect(() => unseal(Buffer.concat([sealed, randomBytes(1)]), key.privateKey)).toThrow('is damaged');
  });

  test('says that another key was given, and does not repeat it', () => {
    const other = makeRecoveryKey();
    expect(() => unseal(sealed, other.privateKey)).toThrow('is sealed to another recovery key');
    for (const wrong of ['', 'not-a-key', `${key.privateKey}=`, key.privateKey.slice(1)])
      expect(() => unseal(sealed, wrong)).toThrow('a recovery key is 43 characters of base64url');
  });
});
