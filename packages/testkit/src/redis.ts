import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { endChild, freePort, waitForOutput } from './process.ts';

export interface RedisOptions {
  /** A free one when left out. */
  port?: number;
  /** Where it keeps its data. */
  dir?: string;
  password?: string;
  /** Whether writes survive a restart. */
  appendonly: boolean;
  /** Receives each line that the server logs. */
  onLog?: (line: string) => void;
}

export interface RunningRedis {
  host: string;
  port: number;
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** Starts the machine's redis-server. */
export async function startRedis(options: RedisOptions): Promise<RunningRedis> {
  if (options.dir) mkdirSync(options.dir, { recursive: true });
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    // The configuration goes in by stdin: an argument would show the password to everyone on the machine.
    const child = spawn('redis-server', ['-'], { detached: true, stdio: ['pipe', 'pipe', 'pipe'], cwd: '/' });
    child.stdin.on('error', () => undefined);
    child.stdin.end(configuration(port, options));
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        if (options.onLog) for (const line of chunk.toString().split('\n').filter(Boolean)) options.onLog(line);
      });
    try {
      await waitForOutput(child, /Ready to accept connections/, 'Redis');
      return {
        host: '127.0.0.1',
        port,
        url: `redis://${options.password ? `:${options.password}@` : ''}127.0.0.1:${port}`,
        pid: child.pid ?? 0,
        stop: () => endChild(child, 'SIGTERM', 'SIGKILL'),
      };
    } catch (error) {
      if (/ENOENT/.test(String(error)))
        throw new Error('redis-server is not installed: apt-get install redis-server', { cause: error });
      const inUse = /Address already in use/.test(String(error));
      if (inUse && options.port) throw new Error(`Redis: port ${port} is in use`, { cause: error });
      if (!inUse || attempt === 5) throw error;
    }
  }
}

function configuration(port: number, { dir, password, appendonly }: RedisOptions): string {
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    'databases 64',
    // What BullMQ needs: nothing may be evicted.
    'maxmemory-policy noeviction',
    `appendonly ${appendonly ? 'yes' : 'no'}`,
    ...(appendonly ? [] : ['save ""']),
    ...(dir ? [`dir "${dir}"`] : []),
    ...(password ? [`requirepass "${password}"`] : []),
  ];
  return `${lines.join('\n')}\n`;
}
