import { describe, expect, test } from '@jest/globals';
import { type Observation, verdict } from './bake-rules.ts';

const calm: Observation = {
  ...{ at: 0, broken: [], unready: [], requests: 1_000, errors: 0, waiting: 0, dead: 2, syntheticFailures: 0 },
};
const baseline = { errorShare: 0, dead: 2 };
const judge = (now: Partial<Observation>, errorShare = 0) =>
  verdict([{ ...calm, ...now }], { ...baseline, errorShare });
const every = (seconds: number, many: number, what: Partial<Observation>) =>
  Array.from({ length: many }, (_, index) => ({ ...calm, ...what, at: index * seconds * 1000 }));

describe('a release stays', () => {
  test('while nothing is seen', () => expect(judge({})).toBeUndefined());
  test('with one request in a hundred failed', () => expect(judge({ errors: 10 })).toBeUndefined());
  test('with failures that are too few to tell', () => expect(judge({ requests: 49, errors: 49 })).toBeUndefined());
  test('when it fails no more than three times as often as the one before', () =>
    expect(judge({ errors: 59 }, 0.02)).toBeUndefined());
  test('after one failure of the synthetic tenant', () => expect(judge({ syntheticFailures: 1 })).toBeUndefined());
  test('with a process that was late once', () =>
    expect(verdict([{ ...calm, unready: ['auth'] }, calm, { ...calm, unready: ['auth'] }], baseline)).toBeUndefined());
  test('when requests wait now and then', () =>
    expect(verdict([...every(1, 29, { waiting: 3 }), calm, { ...calm, waiting: 1 }], baseline)).toBeUndefined());
});

describe('a release goes', () => {
  test('when a process ends', () => expect(judge({ broken: ['auth-green has ended'] })).toBe('auth-green has ended'));
  test('when more than one request in a hundred fails', () =>
    expect(judge({ requests: 50, errors: 1 })).toBe('2.0 % of 50 requests were answered 5xx; before it were 0.0 %'));
  test('when it fails more than three times as often as the one before', () =>
    expect(judge({ errors: 61 }, 0.02)).toMatch(/^6.1 %/));
  test('when the synthetic tenant fails twice in a row, however few clients there are', () =>
    expect(judge({ requests: 0, syntheticFailures: 2 })).toMatch(/synthetic/));
  test('when a job fails for good', () => expect(judge({ dead: 3 })).toBe('1 jobs failed for good'));
  test('when a process is not ready for three looks', () =>
    expect(verdict(every(1, 3, { unready: ['auth'] }), baseline)).toBe('auth is not ready'));
  test('when requests wait for connections for 30 seconds', () =>
    expect(verdict(every(1, 31, { waiting: 3 }), baseline)).toMatch(/waiting/));
});
