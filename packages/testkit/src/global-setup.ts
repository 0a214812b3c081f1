import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from './postgres.ts';
import { reapWithUs } from './process.ts';
import { startRedis } from './redis.ts';
import { publishRun } from './run.ts';

const ROOM_BYTES = 2 * 1024 ** 3;

/** Jest's global setup: one Postgres and one Redis for the run, on ports of their own, in a folder that goes with it. */
export default async function setUp(): Promise<void> {
  const dir = mkdtempSync(join(fastFolder(), 'gatehouse-test-'));
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((one) => one()));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    // Postgres' user, if it is not ours, must pass through here.
    chmodSync(dir, 0o755);
    const [postgres, redis] = await Promise.all([
      startPostgres({ dataDir: join(dir, 'postgres'), durable: false, settings: { max_connections: '300' } }),
      startRedis({ dir: join(dir, 'redis'), appendonly: false }),
    ]);
    stops.push(postgres.stop, redis.stop);
    reapWithUs({ pids: [postgres.pid, redis.pid], dir });
    const { host, port, user, password } = postgres;
    publishRun({ postgres: { host, port, user, password }, redis: { url: redis.url } });
    (globalThis as { stopTestServers?: () => Promise<void> }).stopTestServers = stop;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Memory where there is enough of it, else the disk. */
function fastFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize > ROOM_BYTES) return '/dev/shm';
  } catch {
    // There is none on this system.
  }
  return tmpdir();
}
