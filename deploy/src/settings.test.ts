import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EXIT, Failure } from './failure.ts';
import { ENVIRONMENTS, type Places, placesOf } from './places.ts';
import { loadSettings, readMergedSettings, writeMergedSettings } from './settings.ts';

const ROOT = join(import.meta.dirname, '../..');
let dir: string;
let places: Places;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'settings-'));
  places = placesOf(join(dir, 'state'));
  mkdirSync(places.state);
  write('ENVIRONMENT=staging', 'LOG_LEVEL=info', 'LOG_DIR=', 'MAIL_FROM=Gatehouse <no-reply@example.com>');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (...lines: string[]) => writeFileSync(join(dir, '.env.staging'), `${lines.join('\n')}\n`);
const override = (...lines: string[]) => writeFileSync(places.overrides, `${lines.join('\n')}\n`);
const load = () => loadSettings(dir, 'staging', places);

function failure(): Failure {
  try {
    load();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('the settings were read');
}

test('the host overrides what it names, and nothing else', () => {
  override('# of this host', '', 'LOG_LEVEL=debug');
  expect(load()).toEqual({
    ENVIRONMENT: 'staging',
    LOG_LEVEL: 'debug',
    LOG_DIR: '',
    MAIL_FROM: 'Gatehouse <no-reply@example.com>',
  });
});

test('a key that the environment does not have is refused, and the one that was meant is named', () => {
  override('LOG_LEVLE=debug', 'SMTP=x');
  const { code, lines } = failure();
  expect(code).toBe(EXIT.secrets);
  expect(lines).toEqual([
    `${places.overrides}: LOG_LEVLE is no setting of .env.staging (LOG_LEVEL?)`,
    `${places.overrides}: SMTP is no setting of .env.staging`,
  ]);
});

test.each([
  ['a key given twice', 'LOG_LEVEL=warn', 'LOG_LEVEL=info'],
  ['quotes', 'LOG_LEVEL="hunter2"'],
  ['a variable', 'LOG_LEVEL=$hunter2'],
  ['a comment behind the value', 'LOG_LEVEL=hunter2 # why'],
  ['no assignment', 'hunter2'],
])('%s is a mistake, told with its line and without its value', (_, ...lines) => {
  override(...lines);
  const mistakes = failure().lines.join('\n');
  expect(mistakes).toContain(`${places.overrides}:${lines.length}: `);
  expect(mistakes).not.toContain('hunter2');
});

test('the settings of another environment are refused', () => {
  write('ENVIRONMENT=production', 'LOG_LEVEL=info');
  expect(failure().lines[0]).toContain('ENVIRONMENT must be staging');
});

test('a revision without the environment is told apart from a wrong setting', () => {
  rmSync(join(dir, '.env.staging'));
  expect(failure().message).toContain('.env.staging is missing');
});

test('what is merged is read back as it was', () => {
  override('LOG_LEVEL=debug');
  const path = join(places.releases, 'abc', 'settings.env');
  writeMergedSettings(path, load());
  expect(readMergedSettings(path)).toEqual(load());
});

test.each(ENVIRONMENTS)('the settings of %s are read as Node reads them', (environment) => {
  const node = parseEnv(readFileSync(join(ROOT, `.env.${environment}`), 'utf8'));
  expect(loadSettings(ROOT, environment, placesOf(join(dir, 'none')))).toEqual({ ...node });
});
