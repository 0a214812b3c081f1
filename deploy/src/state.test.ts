import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Failure } from './failure.ts';
import { type Places, placesOf } from './places.ts';
import {
  appendHistory,
  clearJournal,
  type HistoryLine,
  type Journal,
  type Live,
  readHistory,
  readJournal,
  readLive,
  writeJournal,
  writeLive,
} from './state.ts';

let places: Places;
beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'state-')));
});
afterEach(() => rmSync(places.state, { recursive: true, force: true }));

const NEW = 'aaaaaaaaaaaa';
const OLD = 'bbbbbbbbbbbb';
const LIVE: Live = {
  revision: NEW,
  colour: 'green',
  since: '2026-11-21T10:00:00.000Z',
  previous: { revision: OLD, colour: 'blue' },
};
const JOURNAL: Journal = {
  id: '1',
  command: 'deploy',
  revision: NEW,
  colour: 'green',
  from: { revision: OLD, colour: 'blue' },
  stage: 'switched',
  started_at: '2026-11-21T10:00:00.000Z',
};
const line = (id: string) => ({ id, command: 'deploy', result: 'succeeded', to: NEW }) as HistoryLine;

test('what is written is read, and before that there is nothing', () => {
  expect([readLive(places), readJournal(places), readHistory(places)]).toEqual([null, null, []]);
  writeLive(places, LIVE);
  writeJournal(places, JOURNAL);
  appendHistory(places, line('1'));
  appendHistory(places, line('2'));
  expect([readLive(places), readJournal(places)]).toEqual([LIVE, JOURNAL]);
  expect(readHistory(places).map(({ id }) => id)).toEqual(['1', '2']);
  clearJournal(places);
  clearJournal(places);
  expect(readJournal(places)).toBeNull();
});

test.each([
  ['half of it', JSON.stringify(LIVE).slice(0, 60)],
  ['nothing', ''],
  ['a colour that is none', JSON.stringify({ ...LIVE, colour: 'red' })],
  ['a previous release that is none', JSON.stringify({ ...LIVE, previous: { revision: '../x', colour: 'blue' } })],
  ['a time that is none', JSON.stringify({ ...LIVE, since: 'yesterday' })],
])('a live.json with %s is damage, and never an empty host', (_, text) => {
  writeFileSync(places.live, text);
  expect(() => readLive(places)).toThrow(Failure);
  expect(() => readLive(places)).toThrow(/live\.json is damaged/);
});

test('a journal of an unknown stage is damage', () => {
  writeFileSync(places.journal, JSON.stringify({ ...JOURNAL, stage: 'dreaming' }));
  expect(() => readJournal(places)).toThrow(/journal\.json is damaged/);
});

test('a line of the history that a crash tore takes no other with it', () => {
  appendHistory(places, line('1'));
  appendFileSync(places.history, JSON.stringify(line('2')).slice(0, 20));
  expect(readHistory(places).map(({ id }) => id)).toEqual(['1']);
  appendHistory(places, line('3'));
  expect(readHistory(places).map(({ id }) => id)).toEqual(['1', '3']);
});

// Guards the rename in writeFileAtomically: written in place, a reader or a kill finds half a file within milliseconds.
test('a reader beside a writer, and the next command after a kill, find a whole state', async () => {
  const script = `
    import { placesOf } from ${JSON.stringify(join(import.meta.dirname, 'places.ts'))};
    import { writeLive } from ${JSON.stringify(join(import.meta.dirname, 'state.ts'))};
    const places = placesOf(process.argv[1]);
    const live = ${JSON.stringify(LIVE)};
    for (let n = 0; ; n++) {
      writeLive(places, { ...live, note: 'x'.repeat((n % 2) * 200_000) });
      if (n === 0) console.log('ready');
    }`;
  for (let round = 0; round < 3; round++) {
    const writer = spawn(process.execPath, ['--input-type=module', '-e', script, places.state], { stdio: 'pipe' });
    await said(writer);
    for (let read = 0; read < 200; read++) readLive(places);
    const ended = new Promise((resolve) => writer.once('close', resolve));
    writer.kill('SIGKILL');
    await ended;
    expect(readLive(places)).toMatchObject(LIVE);
    expect(readFileSync(places.live, 'utf8').endsWith('}\n')).toBe(true);
  }
  // What the kills left beside it is no state.
  expect(readdirSync(places.state).filter((name) => !name.endsWith('.draft'))).toEqual(['live.json']);
});

function said(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('close', (code) => reject(new Error(`the writer ended with ${code}`)));
  });
}
