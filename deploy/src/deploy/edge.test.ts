import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { renderUpstream } from '../../../nginx/render.ts';
import { gatewaysOf, type Places, placesOf } from '../places.ts';
import { drained, namedColour, readEdgeFiles, upstreamText, writeEdgeFiles } from './edge.ts';

let places: Places;
beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'gatehouse-edge-')));
  mkdirSync(join(places.nginx, 'flags'), { recursive: true });
});
afterEach(() => rmSync(places.state, { recursive: true }));

test('upstream.conf is written as nginx/render.ts writes it', () => {
  const gateways = gatewaysOf('green', '10.80.0', '4000');

  expect(upstreamText(gateways)).toBe(renderUpstream(gateways));
});

test.each(['blue', 'green'] as const)('that nginx names %s is read from its file, of one gateway too', (colour) => {
  for (const many of [2, 1]) {
    writeEdgeFiles(places, { 'upstream.conf': upstreamText(gatewaysOf(colour, '10.80.0', '4000').slice(-many)) });

    expect(namedColour(places)).toBe(colour);
  }
});

test('no file names no colour', () => expect(namedColour(places)).toBeNull());

test('files that are not given stay, and those that are written are whole', () => {
  writeFileSync(join(places.nginx, 'nginx.conf'), 'old');

  writeEdgeFiles(places, { 'upstream.conf': 'new' });

  expect(readEdgeFiles(places.nginx)).toEqual({ 'nginx.conf': 'old', 'upstream.conf': 'new' });
  expect(readdirSync(places.nginx).sort()).toEqual(['flags', 'nginx.conf', 'upstream.conf']);
});

test('while the work is done the flag is there, and not after it failed', async () => {
  const flags = () => readdirSync(join(places.nginx, 'flags'));
  const work = async (prepared: string) => {
    expect([prepared, flags()]).toEqual(['prepared', ['draining']]);
    throw new Error('failed');
  };

  await expect(drained(places, async () => 'prepared', work)).rejects.toThrow('failed');

  expect(flags()).toEqual([]);
});
