import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { Config } from '../config.ts';
import { assertStrong } from './passwords.ts';
import { passwordWeakness } from './strength.ts';

const context = { minLength: 12, words: ['gatehouse', 'ada.lovelace@analytical.test', 'Ada Lovelace', 'Acme Rockets'] };
const weakness = (password: string) => passwordWeakness(password, context);

describe('S008 a new password', () => {
  test.each([
    ['password1234567'],
    ['P@ssw0rd1234'],
    ['Qwertyuiop123!'],
    ['iloveyou12345'],
    ['passwordpassword'],
    ['1q2w3e4r5t6y'],
    ['123456789012'],
    ['administrator1'],
    ['trustno1trustno1'],
    ['correcthorsebatterystaple'],
    ['letmein2024!!'],
    ['abababababab'],
    ['zyxwvutsrqponm'],
    ['Gatehouse20242025'],
    ['acmerockets123'],
    ['ada.lovelace@analytical.test'],
    ['AdaLovelace1815'],
    ['ｐａｓｓｗｏｒｄ１２３４'],
  ])('is refused when anybody would guess it: %s', (password) => {
    expect(weakness(password)).toMatch(/guess|repetition/);
  });

  test.each([
    ['violet tram under quiet hill'],
    ['correct horse battery staple lamp'],
    ['xK7#pQ2vLm9z'],
    ['Str0ng-Passw0rd-123!'],
    ['tulpen aus amsterdam mit zimt'],
    ['a'.repeat(64)],
    [`${'a'.repeat(72)}X`],
    ['\u{1F600}'.repeat(64)],
    ['k9 vR!'.repeat(21)],
  ])('is accepted when it is long and not listed: %s', (password) => {
    expect(weakness(password)).toBeUndefined();
  });

  test('counts code points: eleven are too short, 128 are accepted, 129 refused and never cut', () => {
    expect(weakness('\u{1F600}\u{1F601}xK7#pQ2vL')).toBe('must have at least 12 characters');
    expect(weakness('\u{1F600}'.repeat(128))).toBeUndefined();
    expect(weakness('\u{1F600}'.repeat(129))).toBe('must have at most 128 characters');
  });

  test('S006 with NUL or a lone surrogate is refused', () => {
    expect(weakness('xK7#pQ2v\u0000Lm9z')).toBeDefined();
    expect(weakness('xK7#pQ2v\ud800Lm9z')).toBeDefined();
  });
});

test('S116 judging the longest password takes no longer than a blink', () => {
  const start = performance.now();
  for (let round = 0; round < 50; round++) weakness('1a'.repeat(19));
  expect((performance.now() - start) / 50).toBeLessThan(20);
});

test('S008 the list of what everybody guesses has three thousand words and more, each one as it is compared', () => {
  const words = readFileSync(new URL('./common-words.txt', import.meta.url), 'utf8')
    .trim()
    .split('\n');
  expect(words.length).toBeGreaterThan(3000);
  expect(new Set(words).size).toBe(words.length);
  for (const word of words) expect(word).toBe(word.normalize('NFKC').toLowerCase().trim());
});

describe('S008 the shortest password', () => {
  const config = { PASSWORD_MIN_LENGTH: 12, SECOND_FACTOR_REQUIRED_FOR: 'admins' } as Config;
  const assert = (over: Partial<Config>, password: string) => () =>
    assertStrong({ config: { ...config, ...over } }, password, []);

  test('has the length of the setting, and eight characters where everybody has a second factor', () => {
    expect(assert({}, 'xK7#pQ2vLm9')).toThrow('must have at least 12');
    expect(assert({}, 'xK7#pQ2vLm9z')).not.toThrow();
    expect(assert({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' }, 'xK7#pQ2')).toThrow('must have at least 8');
    expect(assert({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' }, 'xK7#pQ2v')).not.toThrow();
  });

  test.each(['password', 'letmein1', 'sunshine', 'gatehouse', 'dragon12', 'iloveyou!'])(
    'is no listed one either: %s',
    (password) => {
      expect(assert({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' }, password)).toThrow('guess');
    },
  );
});
