import { describe, expect, test } from '@jest/globals';
import type { Journal, Live } from '../state.ts';
import { decideRecovery } from './recover-rules.ts';

const old = { revision: 'a'.repeat(12), colour: 'blue' as const };
const next = { revision: 'b'.repeat(12), colour: 'green' as const };
const live: Live = { ...old, since: '2026-11-21T00:00:00Z', previous: null };
const killed = (stage: Journal['stage'], more: Partial<Journal> = {}): Journal => ({
  ...next,
  ...{ id: '1', command: 'deploy', from: old, stage, started_at: '2026-11-21T00:00:00Z', ...more },
});

describe('a deploy that was killed', () => {
  test('before it started anything leaves nothing to undo', () => {
    expect(decideRecovery({ live, journal: killed('preparing'), named: 'blue' })).toEqual({
      ...{ keep: old, drop: null, switchBack: false, adopt: false },
    });
  });

  test('before the switch: what it started goes', () => {
    expect(decideRecovery({ live, journal: killed('started'), named: 'blue' })).toEqual({
      ...{ keep: old, drop: { colour: 'green', remove: true }, switchBack: false, adopt: false },
    });
  });

  test('after the switch: the release that is known to be good comes back', () => {
    expect(decideRecovery({ live, journal: killed('switched'), named: 'green' })).toEqual({
      ...{ keep: old, drop: { colour: 'green', remove: true }, switchBack: true, adopt: false },
    });
  });

  test('on the way back, when the file was written: nginx may not have read it, and is told again', () => {
    expect(decideRecovery({ live, journal: killed('switched'), named: 'blue' })).toEqual({
      ...{ keep: old, drop: { colour: 'green', remove: true }, switchBack: true, adopt: false },
    });
  });

  test('when it was proven: it stays, and the one before stops', () => {
    expect(decideRecovery({ live, journal: killed('finishing'), named: 'green' })).toEqual({
      ...{ keep: next, drop: { colour: 'blue', remove: false }, switchBack: false, adopt: true },
    });
  });

  test('on a first installation: nothing is left of it', () => {
    expect(decideRecovery({ live: null, journal: killed('switched', { from: null }), named: 'green' })).toEqual({
      ...{ keep: null, drop: { colour: 'green', remove: true }, switchBack: false, adopt: false },
    });
  });
});

describe('a rollback that was killed', () => {
  const rollback = { command: 'rollback' as const };

  test('before the switch: what it goes back to stops again and stays', () => {
    expect(decideRecovery({ live, journal: killed('started', rollback), named: 'blue' })).toEqual({
      ...{ keep: old, drop: { colour: 'green', remove: false }, switchBack: false, adopt: false },
    });
  });

  test('after the switch: the release that somebody wanted to leave does not come back', () => {
    expect(decideRecovery({ live, journal: killed('switched', rollback), named: 'green' })).toEqual({
      ...{ keep: next, drop: { colour: 'blue', remove: false }, switchBack: true, adopt: true },
    });
  });
});

test('without a journal the colour that is not live runs nothing', () => {
  expect(decideRecovery({ live, journal: null, named: 'blue' })).toEqual({
    ...{ keep: old, drop: { colour: 'green', remove: false }, switchBack: false, adopt: false },
  });
  expect(decideRecovery({ live: null, journal: null, named: null }).drop).toBeNull();
});
