import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { gatewaysOf, type Places, placesOf, servicesOf } from '../places.ts';
import { type Journal, readHistory, readJournal, readLive, writeJournal, writeLive } from '../state.ts';
import { upstreamText } from './edge.ts';
import { recordKilled } from './record.ts';
import { recover } from './recover.ts';

const OLD = { revision: 'a'.repeat(12), colour: 'blue' as const };
const NEW = { revision: 'b'.repeat(12), colour: 'green' as const };
const KILLED: Journal = {
  ...{ id: '1', command: 'deploy', ...NEW, from: OLD, stage: 'switched', started_at: '2026-11-21T00:00:00Z' },
};
const textOf = (colour: 'blue' | 'green') => upstreamText(gatewaysOf(colour, '10.91.0', '4000'));
const path = process.env['PATH'];
let places: Places;
let context: Context;
let containers: Partial<Container>[];
beforeEach(() => {
  const state = mkdtempSync(join(tmpdir(), 'gatehouse-recover-'));
  places = placesOf(state);
  mkdirSync(places.nginx, { recursive: true });
  writeFileSync(join(places.nginx, 'upstream.conf'), textOf('green'));
  containers = servicesOf('blue').map((service) => ({ id: service, service, state: 'running', addresses: {} }));
  const report = { warn: () => undefined, note: () => undefined };
  const find = async (names: string[]) => containers.filter(({ service = '' }) => names.includes(service));
  const settings = { EDGE_PREFIX: '10.91.0', GATEWAY_PORT: '4000' };
  context = { places, project: 'p', environment: 'staging', settings, compose: { containers: find }, report } as never;
  writeLive(places, { ...OLD, since: '2026-11-20T00:00:00Z', previous: null });
  writeJournal(places, KILLED);
  // An engine that has nothing of this project, and in which nothing can be done.
  mkdirSync(join(state, 'bin'));
  const script = '#!/bin/sh\ncase $1 in exec|top) echo "no such container" >&2; exit 1;; esac\n';
  writeFileSync(join(state, 'bin', 'docker'), script, { mode: 0o755 });
  process.env['PATH'] = `${join(state, 'bin')}:${path}`;
});
afterEach(() => {
  process.env['PATH'] = path;
  rmSync(places.state, { recursive: true });
});

const clearUp = () => recover(context, () => undefined);

test('an nginx that does not run keeps nobody from clearing up: it finds the known good release when it starts', async () => {
  expect(await clearUp()).toEqual(OLD);

  expect(readFileSync(join(places.nginx, 'upstream.conf'), 'utf8')).toBe(textOf('blue'));
  expect([readJournal(places), readHistory(places).map(({ result }) => result)]).toEqual([null, ['failed']]);
});

test('when users cannot be put back that is code 90, with what to look at, and it is tried again', async () => {
  containers.push({ id: 'n', service: 'nginx', state: 'running' });

  const said = { code: 90, lines: expect.arrayContaining([expect.stringMatching(/make status ENV=staging/)]) };
  await expect(clearUp()).rejects.toMatchObject(said);
  await expect(clearUp()).rejects.toMatchObject(said);

  expect(readJournal(places)).toEqual(KILLED);
});

test('a deploy that has told how it ended is not told of twice', async () => {
  recordKilled(places, 'staging', KILLED, false);

  await clearUp();

  expect(readHistory(places)).toHaveLength(1);
});

test('a deploy that was killed before the switch leaves a rollback to do what it is asked', async () => {
  writeJournal(places, { ...KILLED, stage: 'started' });

  expect(await clearUp()).toBeNull();
});

test('a rollback that was killed after the switch is finished, and needs no other one', async () => {
  writeJournal(places, { ...KILLED, command: 'rollback', stage: 'finishing' });
  containers = containers.filter(({ service }) => service === 'none');
  const compose = { ...context.compose, options: { settingsFile: '' } };
  containers.push(...servicesOf('green').map((service) => ({ id: service, service, state: 'running', addresses: {} })));

  expect(await recover({ ...context, compose } as Context, () => undefined)).toEqual(NEW);

  expect(readLive(places)).toMatchObject({ ...NEW, previous: OLD });
});
