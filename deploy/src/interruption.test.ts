import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { whatIsLeft } from './interruption.ts';
import { placesOf } from './places.ts';
import { type Journal, writeJournal } from './state.ts';

test.each([
  ['preparing', 11, /^Users are on a+ \(blue\), as before/],
  ['started', 11, /^Users are on a+ \(blue\), as before/],
  ['switched', 11, /^Users are on a+ \(blue\), as before/],
  ['switched', 21, /^USERS ARE ON b+ \(green\).*goes back to a+/],
  ['finishing', 21, /^Users are on b+ \(green\)/],
] as const)('a deploy stopped when it had %s and nginx named .%i says whom users reach', (stage, host, said) => {
  const state = mkdtempSync(join(tmpdir(), 'interruption-'));
  const places = placesOf(state);
  mkdirSync(places.nginx);
  writeFileSync(join(places.nginx, 'upstream.conf'), `server 10.80.2.${host}:4000 max_fails=3;\n`);
  const journal: Journal = {
    ...{
      id: '1',
      command: 'deploy',
      revision: 'bbbbbbbbbbbb',
      colour: 'green',
      stage,
      started_at: new Date().toISOString(),
    },
    from: { revision: 'aaaaaaaaaaaa', colour: 'blue' },
  };
  writeJournal(places, journal);

  const [users, next] = whatIsLeft({ ENV: 'development', STATE_DIR: state });

  expect(users).toMatch(said);
  expect(next).toContain('make deploy ENV=development');
  rmSync(state, { recursive: true });
});
