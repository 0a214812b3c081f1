import { apiKeyChecksum, isWellFormedApiKey } from '@gatehouse/contracts/api-keys';
import { sha256 } from '@gatehouse/kit/crypto';
import { describe, expect, test } from '@jest/globals';
import { newKey } from './key.ts';

describe('S091: the form of a key', () => {
  test('a key names its environment, and its checksum tells it from a typo', () => {
    for (const [environment, short] of Object.entries({ development: 'dev', staging: 'stg', production: 'prod' })) {
      const { key, prefix, hash } = newKey(environment as 'development');
      expect(key).toMatch(new RegExp(`^ezak_${short}_[0-9A-Za-z]{49}$`));
      expect(isWellFormedApiKey(key)).toBe(true);
      expect(prefix).toBe(key.slice(0, `ezak_${short}_`.length + 4));
      expect(hash).toEqual(sha256(key));
    }
  });

  test('a changed character, another length, environment or prefix is malformed', () => {
    const { key } = newKey('production');
    const other = key.at(-10) === 'x' ? 'y' : 'x';
    const wrong = [
      key.slice(0, -10) + other + key.slice(-9),
      key.slice(0, -1),
      `${key}0`,
      key.replace('_prod_', '_dev_'),
      key.replace('ezak', 'EZAK'),
      key.replace('ezak_', ''),
      ` ${key}`,
      `${key}\n`,
      '',
      'ezak_prod_',
    ];
    for (const text of wrong) expect([text, isWellFormedApiKey(text)]).toEqual([text, false]);
  });

  test('no one of 1,000 guesses of the right form has the right checksum', () => {
    const guesses = Array.from({ length: 1000 }, () => newKey('development').key.replace(/.{6}$/, 'AAAAAA'));
    expect(guesses.filter(isWellFormedApiKey)).toEqual([]);
  });

  test('the checksum is the CRC-32 that everyone knows, in base 62 and of fixed width', () => {
    // CRC-32 of "123456789" is 0xcbf43926, its published check value.
    let value = 0;
    const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    for (const character of apiKeyChecksum('123456789')) value = value * 62 + alphabet.indexOf(character);
    expect(value).toBe(0xcbf43926);
    expect(apiKeyChecksum('')).toBe('000000');
  });
});
