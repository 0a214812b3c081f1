import { expect, test } from '@jest/globals';
import { base32, tenantOf } from './tenant.ts';
import { totp } from './totp.ts';

// RFC 6238, appendix B, cut to six digits; the seed is that of its SHA-1 vectors.
const SEED = base32(Buffer.from('12345678901234567890'));
test.each([
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_234_567_890, '005924'],
  [20_000_000_000, '353130'],
])('the code at %d seconds is %s', (seconds, code) => {
  expect(totp(SEED, Math.floor(seconds / 30))).toBe(code);
});

// RFC 4648, section 10.
test.each([
  ['f', 'MY'],
  ['fooba', 'MZXW6YTB'],
  ['foobar', 'MZXW6YTBOI'],
])('%s in base32 is %s', (text, encoded) => {
  expect(base32(Buffer.from(text))).toBe(encoded);
});

test('the tenant is the same for one secret, and its addresses and passwords are others for another', () => {
  const [one, other] = [tenantOf('a'.repeat(48)), tenantOf('b'.repeat(48))];
  expect(tenantOf('a'.repeat(48))).toEqual(one);
  expect(other.orgId).toBe(one.orgId);
  for (const who of ['owner', 'viewer'] as const)
    for (const what of ['email', 'password', 'seed'] as const) expect(other[who][what]).not.toBe(one[who][what]);
  expect(one.owner.email).toMatch(/^synthetic-owner-[0-9a-f]{16}@synthetic\.invalid$/);
  expect(one.viewer.password).not.toContain('a'.repeat(8));
});
