import { describe, expect, test } from '@jest/globals';
import { type Observation, quantile, verdict } from './bake-rules.ts';

const calm: Observation = {
  ...{ at: 0, broken: [], unready: [], requests: 1_000, errors: 0, waiting: 0, dead: 2, syntheticFailures: 0 },
  ...{ p99: 0.1, jobs: { ended: 0, failed: 0 }, jobsBefore: { ended: 0, failed: 0 } },
};
const baseline = { errorShare: 0, p99: 0.1, dead: 2 };
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
  test('when a client has mails sent to addresses that do not exist', () =>
    expect(judge({ dead: 4, jobs: { ended: 4, failed: 2 } })).toBeUndefined());
  test('when the workers of before fail as well, since the mail server is away', () =>
    expect(judge({ jobs: { ended: 9, failed: 9 }, jobsBefore: { ended: 3, failed: 3 } })).toBeUndefined());
  test('while it is slow for less than 30 seconds, or no more than twice as slow as the one before', () => {
    expect(verdict(every(1, 30, { p99: 1 }), baseline)).toBeUndefined();
    expect(verdict(every(1, 40, { p99: 1 }), { ...baseline, p99: 0.5 })).toBeUndefined();
    expect(verdict(every(1, 40, { p99: 0.5 }), baseline)).toBeUndefined();
    expect(verdict(every(1, 40, { p99: 9, requests: 49 }), baseline)).toBeUndefined();
  });
});

describe('a release goes', () => {
  test('when a process ends', () => expect(judge({ broken: ['auth-green has ended'] })).toBe('auth-green has ended'));
  test('when more than one request in a hundred fails', () =>
    expect(judge({ requests: 50, errors: 1 })).toBe('2.0 % of 50 requests were answered 5xx; before it were 0.0 %'));
  test('when it fails more than three times as often as the one before', () =>
    expect(judge({ errors: 61 }, 0.02)).toMatch(/^6.1 %/));
  test('when the synthetic tenant fails twice in a row, however few clients there are', () =>
    expect(judge({ requests: 0, syntheticFailures: 2 })).toMatch(/synthetic/));
  test('when jobs fail for good, more than a tenth of them', () =>
    expect(judge({ dead: 5, jobs: { ended: 20, failed: 3 } })).toMatch(/^3 jobs failed for good, and 15.0 % of/));
  test('when jobs fail that will be tried again, and not with the release before', () =>
    expect(judge({ jobs: { ended: 5, failed: 3 }, jobsBefore: { ended: 5, failed: 1 } })).toBe(
      '3 of 5 attempts at jobs failed',
    ));
  test('when it is more than twice as slow for 30 seconds, and slower than anybody was promised', () =>
    expect(verdict(every(1, 31, { p99: 0.6 }), baseline)).toBe(
      'one request in a hundred took 0.60 s or more for 30 s; before it were 0.10 s',
    ));
  test('when a process is not ready for three looks', () =>
    expect(verdict(every(1, 3, { unready: ['auth'] }), baseline)).toBe('auth is not ready'));
  test('when requests wait for connections for 30 seconds', () =>
    expect(verdict(every(1, 31, { waiting: 3 }), baseline)).toMatch(/waiting/));
});

test('a quantile is estimated between the bounds of a histogram, and is infinite above the last one', () => {
  const counts = (...pairs: [number, number][]) => new Map(pairs);

  expect(quantile(0.99, counts([0.5, 98], [1, 100], [Number.POSITIVE_INFINITY, 100]))).toBeCloseTo(0.75);
  expect(quantile(0.99, counts([0.5, 98], [Number.POSITIVE_INFINITY, 100]))).toBe(Number.POSITIVE_INFINITY);
  expect(quantile(0.99, counts([0.5, 0], [Number.POSITIVE_INFINITY, 0]))).toBe(0);
});
