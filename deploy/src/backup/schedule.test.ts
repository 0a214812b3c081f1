import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const TIMES = join(resolve(import.meta.dirname, '../../database/lib'), 'backup-times.sh');
const at = (text: string) => String(Date.parse(`${text}Z`) / 1000);
const call = (name: string, ...args: string[]) =>
  execFileSync('bash', ['-euc', '. "$0"; "$@"', TIMES, name, ...args], { encoding: 'utf8' }).trim();
/** What is due now, by when the newest full backup and the newest of full and differential ones began. */
const due = (now: string, full: string, any = full) => call('due', at(now), '2', full && at(full), any && at(any));

// 2026-11-22 is a Sunday.
test.each([
  ['2026-11-22T01:59:59', '2026-11-21T02:00:00', '2026-11-15T02:00:00'],
  ['2026-11-22T02:00:00', '2026-11-22T02:00:00', '2026-11-22T02:00:00'],
  ['2026-11-24T23:00:00', '2026-11-24T02:00:00', '2026-11-22T02:00:00'],
])('at %s the last night began at %s and the last week at %s', (now, daily, weekly) => {
  expect(call('last_daily', at(now), '2')).toBe(at(daily));
  expect(call('last_weekly', at(now), '2')).toBe(at(weekly));
});

test('the first backup is a full one, at once', () => {
  expect(call('due', at('2026-11-24T15:00:00'), '2', '0', '0')).toBe('full');
});

test('a full one is due from Sunday night on until there is one, a differential one every other night', () => {
  expect(due('2026-11-22T02:00:00', '2026-11-15T02:00:03', '2026-11-21T02:00:02')).toBe('full');
  expect(due('2026-11-25T12:00:00', '2026-11-15T02:00:03', '2026-11-21T02:00:02')).toBe('full');
  expect(due('2026-11-22T02:00:10', '2026-11-22T02:00:03')).toBe('');
  expect(due('2026-11-23T01:59:00', '2026-11-22T02:00:03')).toBe('');
  expect(due('2026-11-23T02:00:01', '2026-11-22T02:00:03')).toBe('diff');
  expect(due('2026-11-23T02:00:09', '2026-11-22T02:00:03', '2026-11-23T02:00:05')).toBe('');
});
