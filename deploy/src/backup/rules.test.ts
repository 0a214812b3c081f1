import { describe, expect, test } from '@jest/globals';
import { differences } from '../../jobs/structure.ts';
import { randomMoment } from './drill.ts';
import { compareManifests, type Manifest } from './manifest.ts';
import { type BackupRecord, provenLately } from './records.ts';
import { type Backup, chooseTarget, parseInfo, restoreOptions } from './repository.ts';

const backup = (label: string, endedAt: string, place = 1, more: Partial<Backup> = {}): Backup => {
  const times = { startedAt: new Date(endedAt), endedAt: new Date(endedAt) };
  return { label, type: 'full', place, ...times, bytes: 1, storedBytes: 1, damaged: false, ...more };
};

describe('which backup is restored', () => {
  const backups = [
    backup('A', '2026-11-20T02:00:00Z'),
    backup('A2', '2026-11-20T02:00:00Z', 2),
    backup('B', '2026-11-21T02:00:00Z'),
    backup('C', '2026-11-21T03:00:00Z', 1, { damaged: true }),
  ];
  const now = new Date('2026-11-21T12:00:00Z');
  const chosen = (from: string, at = '') => restoreOptions(chooseTarget(backups, from, at, now));

  test('the newest that is sound, to the end of the archive', () => {
    expect(chosen('latest')).toEqual(['--repo=1', '--set=B']);
  });

  test('for a moment, the newest that ended before it, from the nearer place', () => {
    expect(chosen('latest', '2026-11-21 01:00:00+00')).toEqual([
      '--repo=1',
      '--set=A',
      '--type=time',
      '--target=2026-11-21 01:00:00.000+00',
      '--target-action=promote',
    ]);
    expect(chosen('latest', '2026-11-21T05:30+0200')).toContain('--target=2026-11-21 03:30:00.000+00');
  });

  test('a label alone means the database as that backup ended', () => {
    expect(chosen('A2')).toEqual(['--repo=2', '--set=A2', '--type=immediate', '--target-action=promote']);
  });

  test.each([
    ['nothing', '', 'There is no backup nothing'],
    ['C', '', 'There is no backup C'],
    ['latest', '2026-11-21 01:00:00', 'is no time with a zone'],
    ['latest', 'yesterday', 'is no time with a zone'],
    ['latest', '2026-11-22 01:00:00Z', 'is yet to come'],
    ['latest', '2026-11-19 01:00:00Z', 'No backup is older'],
  ])('FROM=%s AT=%s is refused: %s', (from, at, message) => {
    expect(() => chosen(from, at)).toThrow(
      expect.objectContaining({ code: 2, message: expect.stringContaining(message) }),
    );
  });

  test('without any there is none to choose', () => {
    expect(() => chooseTarget([], 'latest', '', now)).toThrow(expect.objectContaining({ code: 20 }));
  });
});

test('what pgBackRest tells is read by place, oldest first, damage and a place that is away included', () => {
  const one = (label: string, stop: number, key: number, error = false) => ({
    ...{ label, type: 'full', error, database: { 'repo-key': key }, timestamp: { start: stop - 1, stop } },
    info: { size: 10, repository: { delta: 3 } },
  });
  const ok = { code: 0, message: 'ok' };
  const text = JSON.stringify([
    {
      name: 'gatehouse',
      status: ok,
      repo: [
        { key: 1, status: ok },
        { key: 2, status: { code: 99, message: 'no route' } },
      ],
      backup: [one('B', 20, 2, true), one('A', 10, 1)],
    },
  ]);
  const { backups, problems } = parseInfo(text);
  expect(backups.map(({ label, place, damaged }) => [label, place, damaged])).toEqual([
    ['A', 1, false],
    ['B', 2, true],
  ]);
  expect(problems).toEqual({ 2: 'no route' });
  expect(parseInfo('[]')).toEqual({ backups: [], problems: {} });
});

describe('what a restored database may differ in', () => {
  const manifest = (rows: number, inserted = 0, deleted = 0, more: Partial<Manifest> = {}): Manifest => ({
    ...{
      at: '',
      bytes: 0,
      tables: { 'a.b': { rows, inserted, deleted } },
      schema: ['a/1 x'],
      chain: { intact: true, records: 5 },
    },
    ...{ audit_head: { seq: 5, hash: 'h' }, hash_at: 'h', ...more },
  });
  const problems = (restored: Manifest, after = manifest(10)) => {
    const { rows, others } = compareManifests(manifest(10), after, restored);
    return [...rows, ...others];
  };

  test('in nothing, while nobody writes', () => {
    expect(problems(manifest(10))).toEqual([]);
    expect(problems(manifest(9))).toEqual(['a.b has 9 rows, not 10']);
    expect(problems(manifest(11))).toEqual(['a.b has 11 rows, not 10']);
  });

  test('in what was written meanwhile, and no row more', () => {
    const after = manifest(11, 3, 2);
    for (const rows of [8, 10, 13]) expect(problems(manifest(rows), after)).toEqual([]);
    for (const rows of [7, 14]) expect(problems(manifest(rows), after)).toEqual([`a.b has ${rows} rows, not 8 to 13`]);
  });

  test('never in a table, a migration, the chain of the audit log or a record of it', () => {
    expect(problems(manifest(10, 0, 0, { tables: {} }))).toEqual(['a.b is missing']);
    expect(problems(manifest(10, 0, 0, { schema: [] }))).toEqual(['migration a/1 is missing']);
    expect(problems(manifest(10, 0, 0, { schema: ['a/1 x', 'a/2 y'] }))).toEqual(['migration a/2 is unknown']);
    expect(problems(manifest(10, 0, 0, { hash_at: 'other' }))).toEqual(['record 5 of the audit log is another one']);
    expect(problems(manifest(10, 0, 0, { hash_at: null }))).toEqual(['record 5 of the audit log is missing']);
    const chain = { intact: false, records: 1, problem: 'sequence 2: edited' };
    expect(problems(manifest(10, 0, 0, { chain }))).toEqual(['the audit log does not hold: sequence 2: edited']);
  });
});

test('a proof is good for a day, and only while the backup is there', () => {
  const record = { id: 'A', verified: true, at: '2026-11-21T00:00:00Z' } as BackupRecord;
  const good = (now: string, labels = ['A'], records = [record]) => provenLately(records, labels, new Date(now));
  expect(good('2026-11-21T23:59:59Z')).toBe(true);
  expect(good('2026-11-22T00:00:00Z')).toBe(false);
  expect(good('2026-11-21T01:00:00Z', ['B'])).toBe(false);
  expect(good('2026-11-21T01:00:00Z', ['A'], [{ ...record, verified: false }])).toBe(false);
});

test('a random moment lies between the first backup and now', () => {
  const backups = [backup('A', '2026-11-21T00:00:00Z')];
  const now = new Date('2026-11-21T10:00:00Z');
  expect(randomMoment(backups, now, () => 0)?.toISOString()).toBe('2026-11-21T00:00:00.000Z');
  expect(randomMoment(backups, now, () => 0.5)?.toISOString()).toBe('2026-11-21T05:00:00.000Z');
  expect(randomMoment([], now)).toBeUndefined();
});

test('a difference of schemas is one line; what belongs to a missing table is not told again', () => {
  const expected = new Map([
    ['table a.b', 'row security true'],
    ['column a.b.c', 'text'],
    ['index a.b_pkey', 'CREATE UNIQUE INDEX b_pkey ON a.b USING btree (c)'],
    ['table a.d', 'row security true'],
    ['column a.d.e', 'text not null'],
    ['function a.f()', 'x'],
  ]);
  const found = new Map([
    ['table a.d', 'row security true'],
    ['column a.d.e', 'text'],
    ['column a.d.z', 'text'],
    ['function a.f()', 'y'],
  ]);
  expect(differences(expected, found)).toEqual([
    'column a.d.e differs: text, not text not null',
    'column a.d.z is unknown to the migrations',
    'function a.f() differs',
    'table a.b is missing (row security true)',
  ]);
});
