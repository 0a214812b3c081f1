import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isRoot, type StoredFile, writeFiles } from './vault.ts';

let dir: string;
let host: string;
const sealed: StoredFile = {
  path: 'secrets/20260101T000000Z.sealed',
  uid: 0,
  mode: 0o400,
  content: Buffer.from('sealed'),
};
// Without root a container writes, which sees nothing of the host.
const asRoot = isRoot() ? test : test.skip;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gatehouse-vault-'));
  host = join(dir, 'host');
  dir = join(dir, 'backups');
  for (const folder of [host, dir]) mkdirSync(folder);
});
afterEach(() => rmSync(join(dir, '..'), { recursive: true }));

asRoot('a file is written whole, with its mode', () => {
  writeFiles(dir, [sealed], 0o755);
  writeFiles(dir, [{ ...sealed, content: Buffer.from('again') }], 0o755);
  const path = join(dir, sealed.path);
  expect(readFileSync(path, 'utf8')).toBe('again');
  expect(lstatSync(path).mode & 0o777).toBe(0o400);
  expect(readdirSync(join(dir, 'secrets'))).toEqual(['20260101T000000Z.sealed']);
});

asRoot('a link that a container has put in place of the folder leads root nowhere', () => {
  symlinkSync(host, join(dir, 'secrets'));
  expect(() => writeFiles(dir, [sealed], 0o755)).toThrow(/ELOOP|ENOTDIR/);
  expect(readdirSync(host)).toEqual([]);
});

asRoot('nor does one in place of a file, finished or not', () => {
  const victim = join(host, 'passwd');
  writeFileSync(victim, 'root', { mode: 0o644 });
  mkdirSync(join(dir, 'secrets'));
  for (const name of ['.20260101T000000Z.sealed.new', '20260101T000000Z.sealed'])
    symlinkSync(victim, join(dir, 'secrets', name));
  writeFiles(dir, [sealed], 0o755);
  expect(readFileSync(victim, 'utf8')).toBe('root');
  expect(lstatSync(victim).mode & 0o777).toBe(0o644);
  expect(lstatSync(join(dir, sealed.path)).isFile()).toBe(true);
  expect(existsSync(join(dir, 'secrets', '.20260101T000000Z.sealed.new'))).toBe(false);
});
