import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { decodeRefreshToken, encodeRefreshToken, verifyRefreshToken } from './refresh-tokens.ts';

const newKey = () => createSecretKey(randomBytes(32));
const key = newKey();
const claim = { session_id: randomUUID(), generation: 41 };
const token = encodeRefreshToken(claim, key);

test('a refresh token says of itself what was put in, and the same claim gives the same token', () => {
  expect(decodeRefreshToken(token)).toMatchObject(claim);
  expect(encodeRefreshToken(claim, key)).toBe(token);
});

test('S027 no altered character, other key or other form is accepted', () => {
  const accepted = (text: string, by = key) => {
    const decoded = decodeRefreshToken(text);
    return decoded !== undefined && verifyRefreshToken(decoded, by);
  };
  expect(accepted(token)).toBe(true);
  expect(accepted(token, newKey())).toBe(false);
  for (let at = 0; at < token.length; at++)
    for (const char of ['A', 'z', '-', '='])
      if (token[at] !== char) expect(accepted(token.slice(0, at) + char + token.slice(at + 1))).toBe(false);
  for (const other of ['', 'ghr_', token.slice(0, -1), `${token}A`, token.toUpperCase()])
    expect(accepted(other)).toBe(false);
});
