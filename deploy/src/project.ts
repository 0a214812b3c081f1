import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, must } from './command.ts';
import { type Compose, createCompose } from './compose.ts';
import type { Context, Reporter, Settings } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { databaseTag } from './images.ts';
import { type Colour, ENVIRONMENTS, type Environment, type Places, placesOf } from './places.ts';
import { hasInit } from './preflight/engine.ts';
import { loadSettings, readMergedSettings, writeMergedSettings } from './settings.ts';
import { type Live, readLive } from './state.ts';

/** The checkout that this program is a part of. */
export const CHECKOUT = join(import.meta.dirname, '../..');

export interface ReleaseFiles {
  source: string;
  settingsFile: string;
}

/** Where a release keeps its source and its settings. */
export function releaseFiles(places: Places, revision: string): ReleaseFiles {
  const folder = join(places.releases, revision);
  return { source: join(folder, 'source'), settingsFile: join(folder, 'settings.env') };
}

export interface ComposeOf extends ReleaseFiles {
  project: string;
  places: Places;
  revisions: Record<Colour | 'tools', string>;
  /** CONTAINER_INIT: `false` on an engine that has no init process to give. */
  init: string;
}

/** Compose on a release's files, with every variable that the compose file needs beside the settings. */
export function composeOf({ project, places, source, settingsFile, revisions, init }: ComposeOf): Compose {
  const variables = {
    STATE_DIR: places.state,
    SETTINGS_FILE: settingsFile,
    BLUE_REVISION: revisions.blue,
    GREEN_REVISION: revisions.green,
    TOOLS_REVISION: revisions.tools,
    DATABASE_IMAGE_TAG: databaseTag(source),
    CONTAINER_INIT: init,
  };
  return createCompose({ project, source, settingsFile, variables });
}

/** The revision that each colour has when this release is live: that of the other one where a colour has none yet. */
export function revisionsOf(live: Pick<Live, 'revision' | 'previous'>): Record<Colour | 'tools', string> {
  const { revision, previous } = live;
  const revisions = { blue: revision, green: revision, tools: revision };
  if (previous) revisions[previous.colour] = previous.revision;
  return revisions;
}

/** The environment that ENV names; throws a Failure with code 2. */
export function environmentOf(env: NodeJS.ProcessEnv): Environment {
  const found = ENVIRONMENTS.find((name) => name === env['ENV']);
  if (found) return found;
  const wrong = env['ENV'] ? `ENV is ${env['ENV']}` : 'ENV is missing';
  throw new Failure(EXIT.usage, `${wrong}: name the environment, ENV=${ENVIRONMENTS.join(', ENV=')}`);
}

/** What a command works with: the live release where there is one, else the checkout. */
export async function openContext(env: NodeJS.ProcessEnv, report: Reporter): Promise<Context> {
  const environment = environmentOf(env);
  const places = placesOf(env['STATE_DIR'] || `/var/lib/gatehouse/${environment}`);
  const project = env['PROJECT'] || `gatehouse-${environment}`;
  const init = env['CONTAINER_INIT'] || String(await hasInit());
  const live = readLive(places);
  const files = live && releaseFiles(places, live.revision);
  if (live && files && existsSync(files.settingsFile) && existsSync(files.source)) {
    const compose = composeOf({
      project,
      places,
      ...files,
      revisions: { ...revisionsOf(live), [live.colour]: live.revision },
      init,
    });
    return { environment, project, places, settings: readMergedSettings(files.settingsFile), compose, report };
  }
  const settings = loadSettings(CHECKOUT, environment, places);
  const revision = await shortRevision(CHECKOUT, env['REVISION'] || 'HEAD');
  const settingsFile = checkoutSettings(environment, places, settings);
  const revisions = { blue: revision, green: revision, tools: revision };
  const compose = composeOf({ project, places, source: CHECKOUT, settingsFile, revisions, init });
  return { environment, project, places, settings, compose, report };
}

/** The first twelve digits of what a name of Git's stands for; throws a Failure with code 2 when it is none. */
export async function shortRevision(checkout: string, name: string): Promise<string> {
  try {
    const full = await must('git', ['-C', checkout, 'rev-parse', '--verify', `${name}^{commit}`]);
    return full.slice(0, 12);
  } catch (cause) {
    // A checkout of another user's is refused as a whole, whatever its revisions are: Git says how to allow it.
    const said = cause instanceof CommandError ? cause.result.stderr.trim().split('\n') : [];
    const lines = said.some((line) => line.includes('dubious ownership')) ? said : ['Give one with REVISION=…'];
    throw new Failure(EXIT.usage, `${name} is no revision of ${checkout}`, lines, { cause });
  }
}

/** Without overrides the file of the checkout is the merged one: a command that only looks writes nothing. */
function checkoutSettings(environment: Environment, places: Places, settings: Settings): string {
  if (!existsSync(places.overrides)) return join(CHECKOUT, `.env.${environment}`);
  const path = join(places.state, 'checkout.env');
  writeMergedSettings(path, settings);
  return path;
}
