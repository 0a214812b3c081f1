import { describe, expect, test } from '@jest/globals';
import { createHasher, type PasswordScheme } from './hasher.ts';
import { createHashPool } from './pool.ts';

const pool = createHashPool({ concurrency: 2, queueMax: 50, duration: { observe: () => undefined } });
const hasherOf = (scheme: PasswordScheme, pepper = 'a pepper of this deployment', bcryptCost = 4) =>
  createHasher({ scheme, bcryptCost, pepper, pool });

describe.each(['bcrypt', 'argon2id'] as const)('passwords hashed with %s', (scheme) => {
  const hasher = hasherOf(scheme);

  test('S005 the whole password counts: what differs after 72 bytes does not match', async () => {
    const stored = await hasher.hash(`${'a'.repeat(72)}X`);

    expect(await hasher.verify(stored, `${'a'.repeat(72)}X`)).toEqual({ matches: true, outdated: false });
    expect((await hasher.verify(stored, `${'a'.repeat(72)}Y`)).matches).toBe(false);
    expect((await hasher.verify(stored, 'a'.repeat(72))).matches).toBe(false);
  });

  test('S005 forty emoji do not match their first eighteen', async () => {
    const stored = await hasher.hash('\u{1F600}'.repeat(40));
    expect((await hasher.verify(stored, '\u{1F600}'.repeat(18))).matches).toBe(false);
  });

  test('S006 nothing is cut at NUL', async () => {
    const stored = await hasher.hash('violet tram under quiet hill');
    expect((await hasher.verify(stored, 'violet tram under quiet hill\u0000tail')).matches).toBe(false);
  });

  test('S007 composed and decomposed spellings match; blanks and case count', async () => {
    const stored = await hasher.hash('caf\u00e9 au lait quotidien');

    expect((await hasher.verify(stored, 'cafe\u0301 au lait quotidien')).matches).toBe(true);
    expect((await hasher.verify(stored, ' caf\u00e9 au lait quotidien')).matches).toBe(false);
    expect((await hasher.verify(stored, 'Caf\u00e9 au lait quotidien')).matches).toBe(false);
  });

  test('a hash is useless without the pepper', async () => {
    const stored = await hasher.hash('violet tram under quiet hill');
    expect(stored).toMatch(new RegExp(`^${scheme}-p1:\\$`));
    expect((await hasherOf(scheme, 'another pepper').verify(stored, 'violet tram under quiet hill')).matches).toBe(
      false,
    );
  });

  test('an account without a password matches nothing, not even the password of the dummy', async () => {
    expect((await hasher.verify(null, 'the password of nobody')).matches).toBe(false);
    expect((await hasher.verify('md5$abc$def', 'the password of nobody')).matches).toBe(false);
  });
});

test('a hash of another scheme or cost matches and is outdated', async () => {
  const stored = await hasherOf('bcrypt').hash('violet tram under quiet hill');
  const now = { matches: true, outdated: true };
  expect(await hasherOf('argon2id').verify(stored, 'violet tram under quiet hill')).toEqual(now);
  expect(await hasherOf('bcrypt', undefined, 5).verify(stored, 'violet tram under quiet hill')).toEqual(now);
});

// Made by the systems themselves: crypt_blowfish, the argon2 reference, passlib's and werkzeug's documentation, and
// Python's hashlib in the formats of Django and werkzeug.
test.each([
  ['bcrypt 2a', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  ['bcrypt 2b', '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  ['bcrypt 2y', '$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  ['argon2id', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'password'],
  [
    'Django argon2',
    'argon2$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    'password',
  ],
  [
    'passlib sha256',
    '$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M',
    'password',
  ],
  [
    'passlib sha512',
    '$pbkdf2-sha512$5000$Afv//jQ1Njc4OTAxMjM0NTY$p8DCsU9C1slPa3z3tT.DpR2SNztiUBGxjL.nqg2LAVpk0cDb5YR.N32kQ.pGYSaMm1W.yCryXHHdndGsjrlehQ',
    'lètmein correct',
  ],
  ['Django', 'pbkdf2_sha256$10000$seasalt$/YYKSj2X6Ev3+9aKXi1Db9pQoLI+KN96Q8/gEe4g3gc=', 'lètmein correct'],
  [
    'werkzeug pbkdf2',
    'pbkdf2:sha256:10000$seasalt$fd860a4a3d97e84bf7fbd68a5e2d436fda50a0b23e28df7a43cfe011ee20de07',
    'lètmein correct',
  ],
  [
    'werkzeug scrypt',
    'scrypt:16384:8:1$seasalt1$d1271156f940383978c3402e29e0dfa4092da8113ecb1936f088d065cc6a7398afad7073fa8815484abded0f84b6c8f1b4c5b0bd42cb2afeedd9c810bcb00e87',
    'lètmein correct',
  ],
  [
    'scrypt PHC',
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    'password',
  ],
])('a foreign hash verifies once and is outdated: %s', async (_system, stored, password) => {
  const hasher = hasherOf('bcrypt');
  expect(await hasher.verify(stored, password)).toEqual({ matches: true, outdated: true });
  expect(await hasher.verify(stored, `${password}x`)).toEqual({ matches: false, outdated: false });
});

test.each([
  ['bcrypt of cost 31', '$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ['scrypt of a terabyte', 'scrypt:99999999:999:1$salt$00'],
  ['scrypt in a thousand lanes', `scrypt:32768:8:999$salt$${'ab'.repeat(32)}`],
  ['scrypt of a cost that the format knows and RFC 7914 does not', `scrypt:65536:1:1$salt$${'ab'.repeat(32)}`],
  ['a gibibyte of argon2 a thousand times', `$argon2id$v=19$m=1048576,t=999,p=1$c29tZXNhbHQ$${'A'.repeat(43)}`],
  [
    'argon2 of nine gigabytes',
    '$argon2id$v=19$m=9999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
  ],
])('a stored hash cannot ask for more than the machine has: %s', async (_what, stored) => {
  expect((await hasherOf('bcrypt').verify(stored, 'U*U')).matches).toBe(false);
});

test.each([
  ['scrypt of werkzeug', 'scrypt:1024:8:1$salt$a'],
  ['scrypt of passlib', '$scrypt$ln=10,r=8,p=1$c2FsdA$A'],
  ['pbkdf2 of werkzeug', 'pbkdf2:sha256:1000$salt$a'],
  ['pbkdf2 of passlib', '$pbkdf2-sha256$1000$c2FsdA$A'],
  ['pbkdf2 of Django', 'pbkdf2_sha256$1000$salt$A'],
])('ACC: a stored hash that was cut short is met by no password: %s', async (_what, stored) => {
  for (const password of ['', 'anything', 'U*U'])
    expect((await hasherOf('bcrypt').verify(stored, password)).matches).toBe(false);
});
