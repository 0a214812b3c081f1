import { createSecretKey, randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { createSessionKeys } from './session-keys.ts';

test('as many keys as there is room for are remembered, the newest ones', () => {
  const keys = createSessionKeys(3);
  const key = createSecretKey(randomBytes(32));
  for (const id of ['a', 'b', 'c', 'd']) keys.remember(id, key);
  expect(['a', 'b', 'c', 'd'].map((id) => keys.get(id) !== undefined)).toEqual([false, true, true, true]);
});
