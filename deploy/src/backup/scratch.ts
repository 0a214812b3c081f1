import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { databaseImage, repositoryOptions } from './database.ts';

export interface Scratch {
  /** The container, for psql within it. */
  id: string;
  /** The volume with its socket, for jobs. */
  socket: string;
  /** From nothing to a server that answers. */
  ms: number;
}

export interface ScratchOptions {
  /** Of `pgbackrest restore`, or `--no-restore` to open what is there. */
  args: readonly string[];
  /** A volume with a cluster already, and the cluster's folder in it; else an empty one is made and removed. */
  data?: { volume: string; folder: string };
  /** Gives up after so long; a large database takes its time. */
  timeoutMs?: number;
}

const POLL_MS = 100;
const TIMEOUT_MS = 4 * 3600_000;
const DATA = '/var/lib/postgresql/data';

/** Opens a server of its own on a restored backup, without network, and removes it and its volumes whatever happens. */
export async function withScratch<T>(
  context: Context,
  { args, data, timeoutMs = TIMEOUT_MS }: ScratchOptions,
  work: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  const label = `gatehouse.scratch=${context.project}`;
  const name = `${context.project}-scratch-${randomBytes(4).toString('hex')}`;
  const volumes = { data: data?.volume ?? `${name}-data`, socket: `${name}-socket` };
  const made = data ? [volumes.socket] : [volumes.data, volumes.socket];
  const startedAt = performance.now();
  try {
    await Promise.all(made.map((volume) => must('docker', ['volume', 'create', '--label', label, volume])));
    const id = await must('docker', [
      ...['run', '-d', '--name', name, '--label', label, ...repositoryOptions(context, 'ro')],
      ...['-v', `${volumes.data}:${DATA}`, '-v', `${volumes.socket}:/var/run/postgresql`],
      ...['-e', `PGDATA=${DATA}/${data?.folder ?? 'pgdata'}`, '--shm-size', '128m'],
      ...['--entrypoint', 'scratch-postgres', databaseImage(context), ...args],
    ]);
    await untilOpen(name, Date.now() + timeoutMs);
    return await work({ id: id.trim(), socket: volumes.socket, ms: Math.round(performance.now() - startedAt) });
  } finally {
    await run('docker', ['rm', '-f', name]);
    await run('docker', ['volume', 'rm', '-f', ...made]);
  }
}

async function untilOpen(name: string, deadline: number): Promise<void> {
  for (;;) {
    const query = [
      'exec',
      name,
      'psql',
      '-XqAt',
      '-U',
      'postgres',
      '-d',
      'postgres',
      '-c',
      'select pg_is_in_recovery()',
    ];
    const answer = await run('docker', query);
    if (answer.code === 0 && answer.stdout.trim() === 'f') return;
    const { stdout } = await run('docker', ['inspect', '-f', '{{.State.Running}}', name]);
    if (stdout.trim() !== 'true') {
      const log = await run('docker', ['logs', '--tail', '15', name]);
      throw new Failure(
        EXIT.backup,
        'The backup could not be restored',
        `${log.stdout}${log.stderr}`.trim().split('\n'),
      );
    }
    if (Date.now() > deadline) throw new Failure(EXIT.backup, 'The restored database did not open in time');
    await delay(POLL_MS);
  }
}

/** Removes what a killed command left: containers and volumes of restores into nothing. */
export async function removeScratch({ project }: Pick<Context, 'project'>): Promise<void> {
  const filter = ['--filter', `label=gatehouse.scratch=${project}`];
  const containers = (await must('docker', ['ps', '-aq', ...filter])).split('\n').filter(Boolean);
  if (containers.length > 0) await run('docker', ['rm', '-f', ...containers]);
  const volumes = (await must('docker', ['volume', 'ls', '-q', ...filter])).split('\n').filter(Boolean);
  if (volumes.length > 0) await run('docker', ['volume', 'rm', '-f', ...volumes]);
}
