import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Context } from '../context.ts';
import { writeFileAtomically } from '../files.ts';
import { type Places, placesOf } from '../places.ts';
import { forgetPrepared, keepPrepared, loadNextRelease, loadRelease, prepareRelease } from './release.ts';

const REVISION = 'a'.repeat(12);
let places: Places;
beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'gatehouse-release-')));
  const source = join(places.releases, REVISION, 'source');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, '.env.staging'), 'ENVIRONMENT=staging\nGATEWAY_PORT=4000\n');
});
afterEach(() => rmSync(places.state, { recursive: true }));

const prepare = () => prepareRelease({ environment: 'staging', places } as Context, REVISION);
const port = () => loadRelease(places, REVISION)?.settings['GATEWAY_PORT'];
const proven = (settingsFile: string) =>
  keepPrepared({ places, compose: { options: { settingsFile } } } as never, REVISION);

test('a release that is deployed again with other settings keeps those it runs with until it is proven', async () => {
  await prepare();
  writeFileSync(places.overrides, 'GATEWAY_PORT=4100\n');

  const next = await prepare();

  // The way back is built of what is loaded here: with the new port it would lead nginx to where nobody listens.
  expect([next.settings['GATEWAY_PORT'], port()]).toEqual(['4100', '4000']);
  writeFileAtomically(join(next.edge, 'nginx.conf'), 'new');
  proven(next.settingsFile);
  expect(port()).toBe('4100');
  expect(readFileSync(join(places.releases, REVISION, 'nginx', 'nginx.conf'), 'utf8')).toBe('new');
});

test('what was only prepared is forgotten; a release that is adopted runs as it was prepared', async () => {
  await prepare();
  writeFileSync(places.overrides, 'GATEWAY_PORT=4100\n');
  await prepare();

  expect(loadNextRelease(places, REVISION)?.settings['GATEWAY_PORT']).toBe('4100');
  forgetPrepared(places);
  expect(loadNextRelease(places, REVISION)?.settings['GATEWAY_PORT']).toBe('4000');
});
