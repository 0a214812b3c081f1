import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import type { Places } from '../places.ts';
import { readHistory, readLive } from '../state.ts';

const KEPT = 5;
// Their logs are what somebody looks into.
const KEPT_FAILED = 2;

export interface OldRelease {
  revision: string;
  /** When it was prepared last, in milliseconds. */
  at: number;
  /** It was live once. */
  proven: boolean;
}

/** The releases that may go: never one that is needed, nor one of the newest that were live, nor the last failed ones. */
export function releasesToPrune(releases: readonly OldRelease[], needed: ReadonlySet<string>): string[] {
  const newestFirst = releases.toSorted((a, b) => b.at - a.at).filter(({ revision }) => !needed.has(revision));
  const room = Math.max(0, KEPT - releases.filter(({ revision }) => needed.has(revision)).length);
  const proven = newestFirst.filter((release) => release.proven).slice(room);
  const failed = newestFirst.filter((release) => !release.proven).slice(KEPT_FAILED);
  return [...proven, ...failed].map(({ revision }) => revision);
}

/** Removes the folders and images of old releases; returns their revisions. */
export async function pruneReleases(context: Context): Promise<string[]> {
  const { places } = context;
  const live = readLive(places);
  const running = (await context.compose.containers()).map(({ image }) => image.split(':').at(-1) ?? '');
  const needed = new Set([live?.revision, live?.previous?.revision, ...running].filter((one) => one !== undefined));
  const pruned = releasesToPrune(listReleases(places), needed);
  for (const revision of pruned) {
    rmSync(join(places.releases, revision), { recursive: true, force: true });
    if (!usedElsewhere(places, revision)) await removeImages(revision);
  }
  return pruned;
}

function listReleases(places: Places): OldRelease[] {
  const proven = new Set(
    readHistory(places)
      .filter(({ result }) => result === 'succeeded')
      .map(({ to }) => to),
  );
  return readdirSync(places.releases)
    .filter((name) => /^[0-9a-f]{12}$/.test(name))
    .map((revision) => {
      const files = ['settings.env', 'settings.next.env'].map((name) => join(places.releases, revision, name));
      const at = Math.max(0, ...files.filter(existsSync).map((path) => statSync(path).mtimeMs));
      return { revision, at, proven: proven.has(revision) };
    });
}

/** Environments of one host share images: staging must not take away what production goes back to. */
function usedElsewhere(places: Places, revision: string): boolean {
  const states = dirname(places.state);
  return readdirSync(states).some((name) => existsSync(join(states, name, 'releases', revision)));
}

async function removeImages(revision: string): Promise<void> {
  const format = '{{.Repository}}:{{.Tag}}';
  const images = (await must('docker', ['images', '--format', format, '--filter', 'reference=gatehouse/*'])).split(
    '\n',
  );
  const old = images.filter((image) => image.endsWith(`:${revision}`));
  // Without force: the engine itself keeps what a container is made of.
  if (old.length > 0) await run('docker', ['image', 'rm', ...old]);
}
