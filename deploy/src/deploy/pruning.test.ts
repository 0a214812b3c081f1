import { describe, expect, test } from '@jest/globals';
import { type OldRelease, releasesToPrune } from './pruning.ts';

const release = (number: number, proven = true): OldRelease => ({ revision: `r${number}`, at: number, proven });
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('old releases', () => {
  test('of eight that were live, the three oldest go', () => {
    const releases = numbers(1, 8).map((number) => release(number));

    expect(releasesToPrune(releases, new Set(['r8', 'r7'])).sort()).toEqual(['r1', 'r2', 'r3']);
  });

  test('what is live stays, however old it is', () => {
    const releases = numbers(1, 8).map((number) => release(number));

    const pruned = releasesToPrune(releases, new Set(['r1', 'r2']));

    expect(pruned.sort()).toEqual(['r3', 'r4', 'r5']);
  });

  test('releases that failed take no place from those that were live, and the last two keep their logs', () => {
    const releases = [...numbers(1, 4).map((n) => release(n)), ...numbers(5, 9).map((n) => release(n, false))];

    expect(releasesToPrune(releases, new Set(['r4'])).sort()).toEqual(['r5', 'r6', 'r7']);
  });

  test('nothing goes while there are few', () => {
    expect(releasesToPrune([release(1), release(2, false)], new Set())).toEqual([]);
  });
});
