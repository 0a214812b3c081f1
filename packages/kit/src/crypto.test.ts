import { expect, test } from '@jest/globals';
import { base62, deriveKey, deriveSealingKeys, open, reseal, sameSecret, seal } from './crypto.ts';

const key = deriveKey('a secret of the deployment', 'test');

test('a sealed value opens with the same key and context', () => {
  expect(open(key, seal(key, 'value', 'auth.users:1'), 'auth.users:1').toString()).toBe('value');
});

test('a sealed value moved to another row does not open', () => {
  expect(() => open(key, seal(key, 'value', 'auth.users:1'), 'auth.users:2')).toThrow();
});

test('a sealed value does not open with the key of another purpose', () => {
  const other = deriveKey('a secret of the deployment', 'other');

  expect(() => open(other, seal(key, 'value', 'a'), 'a')).toThrow();
});

test('a sealed value with any bit flipped does not open', () => {
  const sealed = seal(key, 'value', 'a');

  for (let index = 0; index < sealed.length; index++) {
    const broken = Buffer.from(sealed);
    broken[index] = (broken[index] as number) ^ 1;
    expect(() => open(key, broken, 'a')).toThrow();
  }
});

test('F41 a secret is replaced step by step: what either has sealed opens at every step, and is sealed anew', () => {
  const keysOf = (secret: string, alternate?: string) => deriveSealingKeys(secret, alternate, 'test');
  const before = keysOf('the old secret');
  const prepared = keysOf('the old secret', 'the new secret');
  const swapped = keysOf('the new secret', 'the old secret');
  const after = keysOf('the new secret');

  expect(open(swapped, seal(before, 'value', 'a'), 'a').toString()).toBe('value');
  expect(open(prepared, seal(swapped, 'value', 'a'), 'a').toString()).toBe('value');
  expect(() => open(after, seal(before, 'value', 'a'), 'a')).toThrow();
  expect(() => open(swapped, seal(before, 'value', 'a'), 'b')).toThrow();

  const renewed = reseal(swapped, seal(before, 'value', 'a'), 'a') as Buffer;
  expect(open(after, renewed, 'a').toString()).toBe('value');
  expect(reseal(swapped, renewed, 'a')).toBeUndefined();
});

test('base62 keeps its width, leading zeros included', () => {
  expect(base62(Buffer.alloc(4))).toBe('000000');
  expect(base62(Buffer.from([0, 0, 0, 61]))).toBe('00000z');
  expect(base62(Buffer.from([255, 255, 255, 255]))).toBe('4gfFC3');
});

test('sameSecret compares values of any lengths', () => {
  expect(sameSecret('a', 'a')).toBe(true);
  expect(sameSecret('a', 'ab')).toBe(false);
});
