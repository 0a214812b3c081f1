import { existsSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { run } from '../command.ts';
import type { Context } from '../context.ts';
import { gib } from './engine.ts';
import { error, type Finding, warning } from './findings.ts';
import { askDatabase } from './postgres.ts';

const MINIMUM_GIB = 10;
const FACTOR = 3;

/** DISK_MIN_GB lowers what has to be free at least, for hosts that are small on purpose. */
export function minimumBytes(given: string | undefined): number {
  return (given && /^\d+(\.\d+)?$/.test(given) ? Number(given) : MINIMUM_GIB) * 2 ** 30;
}

/** The old release and the new one, a backup and the copy that it is restored into have to fit beside each other. */
export function neededBytes(minimum: number, sizes: { images: number; database: number }): number {
  return Math.max(minimum, FACTOR * (sizes.images + sizes.database));
}

/** Each file system counts once, by the folder that is named first; `names` has what is told instead of a folder. */
export function judgeDisk(
  folders: readonly string[],
  needed: number,
  names: Readonly<Record<string, string>> = {},
): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set<number>();
  for (const folder of folders) {
    const there = firstExisting(folder);
    const { dev } = statSync(there);
    if (seen.has(dev)) continue;
    seen.add(dev);
    const { bavail, bsize, ffree, files } = statfsSync(there);
    const free = bavail * bsize;
    if (free < needed)
      findings.push(
        error(
          'disk',
          `${names[folder] ?? folder} has ${gib(free)} free and needs ${gib(needed)}`,
          'Make room: docker image prune, old backups',
        ),
      );
    // Some file systems have no fixed number, and say 0.
    if (files > 0 && ffree < 10_000)
      findings.push(
        error('disk', `${names[folder] ?? folder} has room for ${ffree} more files`, 'Remove files that nobody needs'),
      );
  }
  return findings;
}

export async function checkDisk(context: Context, root: string): Promise<Finding[]> {
  const needed = neededBytes(minimumBytes(process.env['DISK_MIN_GB']), await sizesOf(context));
  const folders = [context.places.state, context.places.backups];
  if (existsSync(root)) return judgeDisk([root, ...folders], needed);
  // A deployer in a container has its own root there.
  if (existsSync('/.dockerenv')) return judgeDisk(['/', ...folders], needed, { '/': root });
  const unseen = warning(
    'disk',
    `${root}, where Docker keeps its files, cannot be seen from here`,
    'Look yourself: df',
  );
  return [unseen, ...judgeDisk(folders, needed)];
}

/** Of the images that the containers of this project were made from, and of every database in it. */
export async function sizesOf({ compose }: Context): Promise<{ images: number; database: number }> {
  const containers = await compose.containers();
  const images = [...new Set(containers.map(({ image }) => image))];
  let bytes = 0;
  if (images.length > 0) {
    // One that is gone already takes no room.
    const { stdout } = await run('docker', ['image', 'inspect', '--format', '{{.Size}}', ...images]);
    for (const size of stdout.split('\n')) bytes += Number(size);
  }
  const postgres = containers.find(({ service, state }) => service === 'postgres' && state === 'running');
  if (!postgres) return { images: bytes, database: 0 };
  const size = await askDatabase(postgres.id, 'select coalesce(sum(pg_database_size(d.oid)), 0) from pg_database d');
  return { images: bytes, database: Number(size[0] ?? 0) };
}

/** The folder, or the nearest above it that there is: the state folder is made by the first deploy. */
function firstExisting(folder: string): string {
  return existsSync(folder) || folder === dirname(folder) ? folder : firstExisting(dirname(folder));
}
