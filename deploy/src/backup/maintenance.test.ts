import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Places, placesOf } from '../places.ts';
import { closedFor } from './maintenance.ts';

let places: Places;
let flag: string;
beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'gatehouse-closed-')));
  flag = join(places.nginx, 'flags', 'maintenance');
  mkdirSync(join(places.nginx, 'flags'), { recursive: true });
});
afterEach(() => rmSync(places.state, { recursive: true }));

test('a restore that failed leaves the platform closed, and one that is then made opens it', async () => {
  await expect(closedFor(places, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room');
  expect(existsSync(flag)).toBe(true);

  expect(await closedFor(places, async () => existsSync(flag))).toBe(true);

  expect(existsSync(flag)).toBe(false);
});

test('what a person has closed stays closed', async () => {
  writeFileSync(flag, '');

  await closedFor(places, async () => undefined);

  expect(existsSync(flag)).toBe(true);
});
