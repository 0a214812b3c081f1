import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { gatewaysOf, type Places, placesOf, servicesOf } from '../places.ts';
import { type Journal, readHistory, readJournal, writeJournal } from '../state.ts';
import { type Deployment, takeBack } from './deployment.ts';
import { upstreamText, writeEdgeFiles } from './edge.ts';
import { ending } from './prove.ts';

const OLD = { revision: 'a'.repeat(12), colour: 'blue' as const };
const NEW = { revision: 'b'.repeat(12), colour: 'green' as const };
let places: Places;
let warnings: string[];
beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'gatehouse-take-back-')));
  mkdirSync(join(places.nginx, 'flags'), { recursive: true });
  warnings = [];
});
afterEach(() => rmSync(places.state, { recursive: true }));

const runningOld = servicesOf('blue').map((service) => ({ id: service, service, state: 'running', addresses: {} }));

/** A deploy at a stage; of the project only these containers are left. */
function deploymentAt(stage: Journal['stage'], left: readonly object[] = []): Deployment {
  const containers = async (services: string[]) =>
    left.filter((one) => services.includes((one as Container).service)) as Container[];
  const report = { warn: (text: string) => warnings.push(text), note: () => undefined, steps: [] };
  const context = { places, environment: 'staging', settings: {}, compose: { containers }, report } as never as Context;
  const journal: Journal = { id: '1', command: 'deploy', ...NEW, from: OLD, stage, started_at: '2026-11-21T00:00:00Z' };
  const folder = join(places.releases, NEW.revision);
  mkdirSync(folder, { recursive: true });
  const settingsFile = join(folder, 'settings.env');
  writeFileSync(settingsFile, '');
  const kept = { ...NEW, folder, source: folder, settingsFile, settings: {}, edge: folder };
  writeJournal(places, journal);
  return { context, kept, journal, edge: {}, images: {}, migrations: [], backup: null };
}

const reason = new Failure(EXIT.rolledBack, 'it got worse');

test('who cannot be brought back is told so with code 90, and what to do; the next command has the journal', async () => {
  writeEdgeFiles(places, { 'upstream.conf': upstreamText(gatewaysOf('green', '10.91.0', '4000')) });
  const deployment = deploymentAt('switched', runningOld);

  const failed = await ending(deployment, () => Promise.reject(reason)).catch((error: Failure) => error);

  expect(failed).toMatchObject({ code: 90, message: `Going back to ${OLD.revision} failed after: it got worse` });
  expect((failed as Failure).lines.join('\n')).toMatch(/nginx does not run[\s\S]*nginx names green[\s\S]*run the same/);
  expect(readJournal(places)).toMatchObject({ id: '1', stage: 'switched' });
  expect(readHistory(places)).toMatchObject([{ id: '1', result: 'failed', exit: 90 }]);
});

test('logs that find no room change neither the code nor what is taken away', async () => {
  writeEdgeFiles(places, { 'upstream.conf': upstreamText(gatewaysOf('blue', '10.91.0', '4000')) });
  const deployment = deploymentAt('started');
  writeFileSync(join(deployment.kept.folder, 'logs'), 'a file where the folder would be');

  const failure = await takeBack(deployment, new Failure(EXIT.unhealthy, 'it is not ready'));

  expect(failure.code).toBe(50);
  expect(failure.lines).toEqual([
    `Users have been on ${OLD.revision} all the time.`,
    expect.stringMatching(/^The logs of b{12} could not be kept: E/),
  ]);
});

test('a record that finds no room does not hide how the deploy ended', async () => {
  const deployment = deploymentAt('preparing');
  mkdirSync(places.history);

  const failed = ending(deployment, () => Promise.reject(new Failure(EXIT.build, 'no space left on device')));

  await expect(failed).rejects.toMatchObject({ code: 30, message: 'no space left on device' });
  expect(warnings).toEqual([expect.stringMatching(/^How it ended could not be written down/)]);
});
