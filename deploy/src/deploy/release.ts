import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../command.ts';
import type { Context, Settings } from '../context.ts';
import type { Colour, Places } from '../places.ts';
import { CHECKOUT, composeOf, releaseFiles } from '../project.ts';
import { loadSettings, readMergedSettings, writeMergedSettings } from '../settings.ts';
import type { Release } from '../state.ts';

/** What the host keeps of a release: its source as committed, and the settings it was deployed with. */
export interface KeptRelease {
  /** 12 hex digits. */
  revision: string;
  folder: string;
  source: string;
  settingsFile: string;
  settings: Settings;
}

/** Lays out the release's folder. Only what is committed gets there: a change that is not cannot be deployed. */
export async function prepareRelease({ environment, places }: Context, revision: string): Promise<KeptRelease> {
  const files = keptFiles(places, revision);
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
  return { revision, folder: join(places.releases, revision), ...releaseFiles(places, revision) };
}

/** Through a folder of another name: one that was half written when the deployer was killed is never taken for whole. */
async function extract(revision: string, { folder, source }: Omit<KeptRelease, 'settings'>): Promise<void> {
  const draft = join(folder, 'source.draft');
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  const archive = join(folder, 'source.draft.tar');
  try {
    // Readable for everyone, writable for its owner, whatever the umask: the modes reach the images.
    await must('git', ['-C', CHECKOUT, '-c', 'tar.umask=0022', 'archive', '--format=tar', '-o', archive, revision]);
    await must('tar', ['-xf', archive, '-C', draft]);
    renameSync(draft, source);
  } finally {
    rmSync(archive, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}
