import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { mayEnter, OUTSIDE, postgresHome, type RunAs, unprivilegedUser } from './postgres-binaries.ts';
import { endChild, freePort, waitForOutput } from './process.ts';

export interface PostgresOptions {
  /** Where the cluster lives; made on first use. Moved below /var/lib/gatehouse where Postgres' user may not go. */
  dataDir: string;
  /** A free one when left out. */
  port?: number;
  /** Whether a commit survives a crash. Tests do without: their data is thrown away. */
  durable: boolean;
  /** Further settings of postgresql.conf. */
  settings?: Record<string, string>;
  /** Receives each line that the server logs. */
  onLog?: (line: string) => void;
}

export interface RunningPostgres {
  host: string;
  port: number;
  user: string;
  password: string;
  /** The superuser's address of the database `postgres`. */
  adminUrl: string;
  /** Where the data really is. */
  dataDir: string;
  pid: number;
  stop(): Promise<void>;
}

const ADMIN = 'postgres';
const PASSWORD_FILE = 'gatehouse-admin-password';
const THROWAWAY = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', scram_iterations: '1' };

/** Starts PostgreSQL 17 from the npm package, as root or as an ordinary user; the cluster is made on first use. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const runAs = unprivilegedUser();
  const home = postgresHome(runAs);
  const dataDir = reachable(resolve(options.dataDir), runAs);
  if (!existsSync(join(dataDir, 'PG_VERSION'))) initialize(home, dataDir, runAs);
  const password = readFileSync(join(dataDir, PASSWORD_FILE), 'utf8');
  const { child, port } = await launch(home, dataDir, options, runAs);
  return {
    host: '127.0.0.1',
    port,
    user: ADMIN,
    password,
    adminUrl: `postgres://${ADMIN}:${password}@127.0.0.1:${port}/postgres`,
    dataDir,
    pid: child.pid ?? 0,
    stop: () => endChild(child, 'SIGINT', 'SIGQUIT'),
  };
}

function reachable(dataDir: string, runAs: RunAs | undefined): string {
  mkdirSync(dirname(dataDir), { recursive: true });
  if (mayEnter(dirname(dataDir), runAs)) return dataDir;
  const moved = join(OUTSIDE, createHash('sha256').update(dataDir).digest('hex').slice(0, 12));
  mkdirSync(OUTSIDE, { recursive: true, mode: 0o755 });
  return moved;
}

/** initdb into a folder beside it and renamed when whole, so that an interrupted first start leaves no half a cluster. */
function initialize(home: string, dataDir: string, runAs: RunAs | undefined): void {
  const partial = `${dataDir}.new`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true, mode: 0o700 });
  if (runAs) chownSync(partial, runAs.uid, runAs.gid);
  // initdb wants an empty folder: the password's file moves in afterwards.
  const passwordFile = `${partial}.password`;
  writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (runAs) chownSync(passwordFile, runAs.uid, runAs.gid);
  const args = ['-D', partial, '-U', ADMIN, '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8'];
  // The builtin provider sorts and folds the same on every machine, whatever its libc.
  args.push('--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions', '--no-sync');
  const made = spawnSync(join(home, 'bin/initdb'), args, { ...runAs, cwd: '/', env: environment(home) });
  if (made.status !== 0)
    throw new Error(`initdb failed: ${made.error?.message ?? `${made.stdout}${made.stderr}`.trim()}`);
  renameSync(passwordFile, join(partial, PASSWORD_FILE));
  renameSync(partial, dataDir);
}

async function launch(home: string, dataDir: string, options: PostgresOptions, runAs: RunAs | undefined) {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
      max_connections: '200',
      jit: 'off',
      ...(options.durable ? {} : THROWAWAY),
      ...options.settings,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(home, 'bin/postgres'), ['-D', dataDir, ...args], {
      ...runAs,
      cwd: '/',
      env: environment(home),
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session of its own: Ctrl-C in the terminal is for us, and we stop what uses the database first.
      detached: true,
    });
    forward(child, options.onLog);
    try {
      await waitForOutput(child, /database system is ready to accept connections/, 'PostgreSQL');
      return { child, port };
    } catch (error) {
      const inUse = /Address already in use/.test(String(error));
      if (inUse && options.port) throw new Error(`PostgreSQL: port ${port} is in use`, { cause: error });
      if (!inUse || attempt === 5) throw error;
    }
  }
}

function forward(child: ChildProcess, onLog: ((line: string) => void) | undefined): void {
  // Read even when nobody listens: a full pipe would stop the server.
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      if (onLog) for (const line of chunk.toString().split('\n').filter(Boolean)) onLog(line);
    });
}

function environment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], TZ: 'UTC', LC_ALL: 'C', LD_LIBRARY_PATH: join(home, 'lib') };
}
