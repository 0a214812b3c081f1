import { expect, test } from '@jest/globals';
import { bakeSecondsOf, inTurns } from './bake.ts';

test('a gateway that fails is asked again before the other one', async () => {
  const asked: string[] = [];
  const next = inTurns(['one', 'two'], async (address) => {
    asked.push(address);
    if (address === 'two') throw new Error('502');
  });

  for (let round = 0; round < 4; round++) await next().catch(() => undefined);

  expect(asked).toEqual(['one', 'two', 'two', 'two']);
});

test('a bake that would never end is refused before anything is done', () => {
  expect(bakeSecondsOf({ BAKE_SECONDS: '300' })).toBe(300);
  for (const wrong of ['5m', '', 'NaN', '-1'])
    expect(() => bakeSecondsOf({ BAKE_SECONDS: wrong })).toThrow('BAKE_SECONDS is a number of seconds');
});
