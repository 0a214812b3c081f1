import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { EXIT, Failure } from '../failure.ts';

/** Is there on every host that runs the platform; has a shell, the coreutils and openssl. */
export const HELPER_IMAGE = 'postgres:17';

export interface StoredFile {
  /** Below the folder, with `/`: `app/JWT_SECRET`. */
  path: string;
  uid: number;
  /** Permission bits: 0o400. */
  mode: number;
  content: Buffer;
}

/** Every ordinary file below a folder; an empty list when there is none. */
export function readFolder(dir: string): StoredFile[] {
  if (!existsSync(dir)) return [];
  return isRoot() ? readDirectly(dir) : readByEngine(dir);
}

/** One file below the folder. Throws where it is missing, or where neither this user nor the engine may read it. */
export function readOne(dir: string, path: string): Buffer {
  try {
    return readFileSync(join(dir, path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return Buffer.from(engine(dir, 'cat "$1"', [path]));
  }
}

/** Writes files with their owners and modes, each whole or not at all. Folders are made for whoever deploys alone. */
export function writeFiles(dir: string, files: readonly StoredFile[], folderMode = 0o700): void {
  if (files.length === 0) return;
  mkdirSync(dir, { recursive: true, mode: folderMode });
  for (const folder of new Set(files.map(({ path }) => dirname(join(dir, path)))))
    mkdirSync(folder, { recursive: true, mode: folderMode });
  if (isRoot()) for (const file of files) writeDirectly(dir, file);
  else writeByEngine(dir, files);
}

/** Gives a file that the deployer put there its owner and mode. */
export function ownFile(dir: string, name: string, uid: number, mode: number): void {
  if (isRoot()) {
    chownSync(join(dir, name), uid, uid);
    chmodSync(join(dir, name), mode);
  } else engine(dir, 'chown "$1:$1" "$3" && chmod "$2" "$3"', [String(uid), mode.toString(8), name]);
}

/**
 * Runs a script of sh in a container that sees `dir` as /vault and nothing else. What it prints is not kept by the
 * engine, as a container's output otherwise is: it may be secrets.
 */
export function engine(dir: string, script: string, args: readonly string[] = [], input = ''): string {
  const options = ['--rm', '-i', '--network', 'none', '--log-driver', 'none', '--user', '0:0', '--entrypoint', 'sh'];
  const place = ['-v', `${dir}:/vault`, '-w', '/vault', HELPER_IMAGE];
  const result = spawnSync('docker', ['run', ...options, ...place, '-euc', script, 'sh', ...args], {
    input,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status === 0) return result.stdout;
  const reason = result.error?.message ?? result.stderr.trim().split('\n').slice(-3).join(' ');
  throw new Failure(EXIT.secrets, `A helper container (${HELPER_IMAGE}) for ${dir} failed: ${reason}`);
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function readDirectly(dir: string, below = ''): StoredFile[] {
  return readdirSync(join(dir, below)).flatMap((name): StoredFile[] => {
    const path = below ? `${below}/${name}` : name;
    const stat = lstatSync(join(dir, path));
    if (stat.isDirectory()) return readDirectly(dir, path);
    if (!stat.isFile() || isLeftover(name)) return [];
    return [{ path, uid: stat.uid, mode: stat.mode & 0o7777, content: readFileSync(join(dir, path)) }];
  });
}

const LIST = `find . -type f ! -name '.*' | while read -r file; do
  stat -c '%u %a' "$file"; printf '%s\\n' "$file"; base64 -w0 "$file"; echo
done`;

function readByEngine(dir: string): StoredFile[] {
  const lines = engine(dir, LIST).split('\n');
  const files: StoredFile[] = [];
  for (let index = 0; index + 2 < lines.length; index += 3) {
    const [uid, mode] = (lines[index] ?? '').split(' ');
    const path = (lines[index + 1] ?? '').replace(/^\.\//, '');
    const content = Buffer.from(lines[index + 2] ?? '', 'base64');
    files.push({ path, uid: Number(uid), mode: Number.parseInt(mode ?? '', 8), content });
  }
  return files;
}

/** A name that no reader takes for a secret when the machine stops in between. */
const partial = (path: string) => join(dirname(path), `.${path.slice(path.lastIndexOf('/') + 1)}.new`);
const isLeftover = (name: string) => name.startsWith('.');

// A folder may lie in one that containers write to (the second place of backups): a link there, in place of a folder or
// of a file, would have root overwrite whatever it names. So the folder is opened itself, and held while it is used.
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

function writeDirectly(dir: string, { path, uid, mode, content }: StoredFile): void {
  const folder = openSync(dirname(join(dir, path)), FOLDER);
  try {
    const held = (name: string) => `/proc/self/fd/${folder}/${basename(name)}`;
    const next = held(partial(path));
    rmSync(next, { force: true });
    const file = openSync(next, NEW_FILE, 0o600);
    try {
      writeFileSync(file, content);
      fchownSync(file, uid, uid);
      fchmodSync(file, mode);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, held(path));
  } finally {
    closeSync(folder);
  }
}

// A line a file: owner, mode, path, content. An empty content is written as "-", which base64 has not.
const WRITE = `while read -r uid mode path next content; do
  umask 077
  if [ "$content" = - ]; then : >"$next"; else printf %s "$content" | base64 -d >"$next"; fi
  chown "$uid:$uid" "$next"; chmod "$mode" "$next"; sync "$next"; mv -f "$next" "$path"
done`;

function writeByEngine(dir: string, files: readonly StoredFile[]): void {
  const lines = files.map(({ path, uid, mode, content }) =>
    [uid, mode.toString(8), path, partial(path), content.toString('base64') || '-'].join(' '),
  );
  engine(dir, WRITE, [], `${lines.join('\n')}\n`);
}
