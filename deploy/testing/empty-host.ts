import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Compose } from '../src/compose.ts';
import type { Context } from '../src/context.ts';
import { placesOf } from '../src/places.ts';
import { createReporter } from '../src/report.ts';
import type { EnsureOptions } from '../src/secrets/ensure.ts';
import { readFolder } from '../src/secrets/vault.ts';
import { loadSettings } from '../src/settings.ts';

export const CHECKOUT = resolve(import.meta.dirname, '../..');

/** Where the hosts of a test file keep their state; to be removed when it ends. */
export function makeBase(): string {
  return mkdtempSync(join(tmpdir(), 'gatehouse-secrets-'));
}

/** A host that has nothing yet, and no Compose. */
export function emptyHost(state: string, environment: Context['environment'] = 'staging'): Context {
  const places = placesOf(state);
  const report = createReporter({ json: true, terminal: false, write: () => undefined });
  const settings = loadSettings(CHECKOUT, environment, places);
  return { environment, project: 'gatehouse-test', places, settings, compose: {} as Compose, report };
}

/** Shows no recovery key and takes nothing from the environment of the tests. */
export const QUIET: EnsureOptions = { announce: () => undefined, env: {} };

/** Text of every file below a folder, by its path. */
export function contentsOf(dir: string): Record<string, string> {
  return Object.fromEntries(readFolder(dir).map(({ path, content }) => [path, content.toString()]));
}
