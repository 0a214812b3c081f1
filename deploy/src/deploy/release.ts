import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../command.ts';
import type { Context, Settings } from '../context.ts';
import { writeFileAtomically } from '../files.ts';
import type { Colour, Places } from '../places.ts';
import { CHECKOUT, composeOf, releaseFiles } from '../project.ts';
import { loadSettings, readMergedSettings, writeMergedSettings } from '../settings.ts';
import type { Release } from '../state.ts';
import { readEdgeFiles } from './edge.ts';

/** What the host keeps of a release: its source as committed, and the settings it was deployed with. */
export interface KeptRelease {
  /** 12 hex digits. */
  revision: string;
  folder: string;
  source: string;
  settingsFile: string;
  settings: Settings;
  /** Its nginx files. */
  edge: string;
}

/** Where a release that this host has already is prepared anew: until it is proven, what it ran with stays. */
const NEXT = { settings: 'settings.next.env', edge: 'nginx.next' };

/** Lays out the release's folder. Only what is committed gets there: a change that is not cannot be deployed. */
export async function prepareRelease({ environment, places }: Context, revision: string): Promise<KeptRelease> {
  const first = keptFiles(places, revision);
  const files = existsSync(first.settingsFile) ? nextOf(first) : first;
  if (!existsSync(files.source)) await extract(revision, files);
  const settings = loadSettings(files.source, environment, places);
  writeMergedSettings(files.settingsFile, settings);
  return { ...files, settings };
}

/** A release that was deployed before, with the settings of then; undefined when its folder is gone. */
export function loadRelease(places: Places, revision: string): KeptRelease | undefined {
  const files = keptFiles(places, revision);
  if (!existsSync(files.source) || !existsSync(files.settingsFile)) return undefined;
  return { ...files, settings: readMergedSettings(files.settingsFile) };
}

/** The release as it was prepared last, for one that has proven itself that way. */
export function loadNextRelease(places: Places, revision: string): KeptRelease | undefined {
  const files = nextOf(keptFiles(places, revision));
  if (!existsSync(files.source) || !existsSync(files.settingsFile)) return loadRelease(places, revision);
  return { ...files, settings: readMergedSettings(files.settingsFile) };
}

/** What it was prepared with is from now on what it is started with. A copy: the command at hand still uses the original. */
export function keepPrepared({ places, compose }: Pick<Context, 'places' | 'compose'>, revision: string): void {
  const kept = keptFiles(places, revision);
  const next = nextOf(kept);
  if (compose.options.settingsFile !== next.settingsFile || !existsSync(next.settingsFile)) return;
  if (existsSync(next.edge))
    for (const [name, text] of Object.entries(readEdgeFiles(next.edge)))
      writeFileAtomically(join(kept.edge, name), text);
  writeFileAtomically(kept.settingsFile, readFileSync(next.settingsFile, 'utf8'));
}

/** Nothing that was only prepared is left: a later command must not take it for what a release ran with. */
export function forgetPrepared(places: Places): void {
  for (const revision of existsSync(places.releases) ? readdirSync(places.releases) : [])
    for (const name of Object.values(NEXT))
      rmSync(join(places.releases, revision, name), { recursive: true, force: true });
}

/** The context in which the release's own compose file, settings and tools image are used. */
export function releaseContext(context: Context, kept: KeptRelease, colours: Record<Colour, string>): Context {
  const { project, places } = context;
  const { revision, source, settingsFile, settings } = kept;
  const revisions = { ...colours, tools: revision };
  const init = context.compose.options.variables['CONTAINER_INIT'] ?? 'true';
  return { ...context, settings, compose: composeOf({ project, places, source, settingsFile, revisions, init }) };
}

/** Which revision stands in which colour: a colour that nothing is known of has the other's. */
export function coloursOf({ revision, colour }: Release, other: string = revision): Record<Colour, string> {
  return colour === 'blue' ? { blue: revision, green: other } : { blue: other, green: revision };
}

function keptFiles(places: Places, revision: string): Omit<KeptRelease, 'settings'> {
  const folder = join(places.releases, revision);
  return { revision, folder, edge: join(folder, 'nginx'), ...releaseFiles(places, revision) };
}

function nextOf(files: Omit<KeptRelease, 'settings'>): Omit<KeptRelease, 'settings'> {
  const { folder } = files;
  return { ...files, settingsFile: join(folder, NEXT.settings), edge: join(folder, NEXT.edge) };
}

/**
 * Through a folder of another name: one that was half written when the deployer was killed is never taken for whole, and
 * a plan that is made at the same time has its own.
 */
async function extract(revision: string, { folder, source }: Omit<KeptRelease, 'settings'>): Promise<void> {
  const draft = join(folder, `source.${process.pid}.draft`);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  const archive = join(folder, `source.${process.pid}.tar.draft`);
  try {
    // Readable for everyone, writable for its owner, whatever the umask: the modes reach the images.
    await must('git', ['-C', CHECKOUT, '-c', 'tar.umask=0022', 'archive', '--format=tar', '-o', archive, revision]);
    await must('tar', ['-xf', archive, '-C', draft]);
    if (!existsSync(source)) renameSync(draft, source);
  } finally {
    rmSync(archive, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}
