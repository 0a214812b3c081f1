import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { type Platform, type PlatformOptions, startPlatform } from './src/platform.ts';
import { freePorts } from './src/settings.ts';

const START_MS = 60_000;
const SMALL = { skip: ['org', 'audit', 'worker', 'upstream', 'mailbox'] } as const;
const dirs: string[] = [];
let platform: Platform | undefined;

afterEach(async () => {
  await platform?.stop();
  platform = undefined;
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-platform-'));
  // Postgres runs as another user when we are root.
  chmodSync(dir, 0o755);
  dirs.push(dir);
  return dir;
}

async function start(options: Partial<PlatformOptions> = {}): Promise<Platform> {
  platform = await startPlatform({ dataDir: freshDir(), ports: 'free', durable: false, ...options });
  return platform;
}

function get({ url, ca }: Platform, path: string): Promise<{ status: number; body: string }> {
  const { port } = new URL(url);
  const target = { host: '127.0.0.1', servername: 'localhost', port, path, ca: readFileSync(ca), agent: false };
  return new Promise((resolve, reject) => {
    const sent = request({ ...target, headers: { host: 'localhost' } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', reject).end();
  });
}

/** Processes that the platform of this folder recorded, and that are alive. */
function running(dataDir: string): string[] {
  return readFileSync(join(dataDir, 'run', 'processes'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '))
    .filter(([name, pid]) => name !== 'supervisor' && isAlive(Number(pid)))
    .map(([name = '']) => name);
}

function isAlive(pid: number): boolean {
  try {
    // A killed child of ours stays as a zombie until it is waited for.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(50);
}

test(
  'the whole platform starts, serves through nginx, and leaves nothing running when it stops',
  async () => {
    const dataDir = freshDir();
    const steps: string[] = [];
    const platform = await start({ dataDir, onProgress: (step) => steps.push(step) });
    const pids =
      readFileSync(join(dataDir, 'run', 'processes'), 'utf8')
        .match(/(?<= )\d+(?= )/g)
        ?.map(Number) ?? [];

    expect(steps).toEqual(expect.arrayContaining(['data', 'migrations', 'auth', 'gateway', 'nginx']));
    expect(await get(platform, '/health')).toEqual({ status: 200, body: '{"status":"healthy"}' });
    expect((await fetch(platform.mailboxUrl)).status).toBe(200);
    expect(running(dataDir).sort()).toEqual(
      ['audit', 'auth', 'gateway', 'nginx', 'org', 'postgres', 'redis', 'upstream', 'worker'].sort(),
    );

    await platform.stop();
    expect(pids.filter((pid) => pid !== process.pid && isAlive(pid))).toEqual([]);
  },
  START_MS,
);

test(
  'a process runs several times, may be ended and started again, and a crash is told',
  async () => {
    const platform = await start({ ...SMALL, instances: { gateway: 2, auth: 2 } });
    const second = platform.process('auth-2');

    expect(await second.stop('SIGKILL')).toBeNull();
    second.start();
    await second.ready();
    expect(readFileSync(join(platform.nginx?.dir ?? '', 'upstream.conf'), 'utf8').match(/^server /gm)).toHaveLength(2);

    process.kill(platform.process('gateway-2').pid() ?? 0, 'SIGKILL');
    expect(await platform.crashed).toMatchObject({ name: 'gateway-2', reason: 'was killed by SIGKILL' });
  },
  START_MS,
);

test(
  'a second start keeps the data and the secrets',
  async () => {
    const dataDir = freshDir();
    const first = await start({ ...SMALL, dataDir });
    const password = first.databasePasswords.auth;
    await first.stop();
    const steps = new Map<string, string>();

    const second = await start({ ...SMALL, dataDir, onProgress: (step, detail) => steps.set(step, detail) });

    expect(second.databasePasswords.auth).toBe(password);
    expect(steps.get('migrations')).toBe('none pending');
  },
  START_MS,
);

test.each([
  ['a wrong setting', { BCRYPT_COST: '99' }, /^auth refuses its settings: BCRYPT_COST: [^\n]+$/],
  ['a wrong rate', { NGINX_API_RATE: 'much' }, /^nginx refuses its settings: NGINX_API_RATE: is a rate [^\n]+$/],
  ['a wrong port', { AUTH_PORT: 'x' }, /^The settings are wrong: AUTH_PORT: x is not a port\.$/],
])(
  '%s is one line, and nothing is left running',
  async (_name, settings, message) => {
    const dataDir = freshDir();
    // Free ports would replace the wrong one.
    const ports = await portsFor(settings);

    const started = startPlatform({
      ...SMALL,
      dataDir,
      ports: 'settings',
      durable: false,
      settings: { ...ports, ...settings },
    });

    await expect(started).rejects.toThrow(message);
    await expect(startPlatform({ dataDir, ports: 'settings', settings: { AUTH_PORT: '0' } })).rejects.toThrow(
      /AUTH_PORT/,
    );
  },
  START_MS,
);

test('a port in use is one line that names its setting', async () => {
  const ports = await portsFor({});
  const server = createServer().listen(Number(ports['ORG_PORT']), '127.0.0.1');
  await once(server, 'listening');

  const started = startPlatform({ dataDir: freshDir(), ports: 'settings', settings: ports });

  await expect(started).rejects.toThrow(`Port ${ports['ORG_PORT']} is in use (ORG_PORT).`);
  server.close();
});

test(
  'a killed supervisor leaves nothing running',
  async () => {
    const dataDir = freshDir();
    const script = `
    import { startPlatform } from ${JSON.stringify(join(import.meta.dirname, 'src/platform.ts'))};
    await startPlatform({ dataDir: ${JSON.stringify(dataDir)}, ports: 'free', durable: false,
      skip: ['org', 'audit', 'worker', 'upstream', 'mailbox'] });
    process.stdout.write('up');`;
    const supervisor = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(supervisor.stdout, 'data');
    const processes = readFileSync(join(dataDir, 'run', 'processes'), 'utf8');
    expect(running(dataDir)).toEqual(expect.arrayContaining(['postgres', 'redis', 'auth', 'gateway', 'nginx']));

    supervisor.kill('SIGKILL');
    await once(supervisor, 'exit');

    const pids = [...processes.matchAll(/^(?!supervisor)\S+ (\d+)/gm)].map(([, pid]) => Number(pid));
    await until(() => !pids.some(isAlive));
  },
  START_MS,
);

async function portsFor(settings: Record<string, string>): Promise<Record<string, string>> {
  const names = ['NGINX_HTTP', 'NGINX_HTTPS', 'NGINX_OPS', 'DATABASE', 'SMTP', 'MAILBOX', 'GATEWAY', 'GATEWAY_OPS'];
  for (const name of ['AUTH', 'ORG', 'AUDIT', 'WORKER']) names.push(name, `${name}_OPS`);
  const [redis, upstream, ...ports] = await freePorts(names.length + 2);
  return {
    ...Object.fromEntries(names.map((name, index) => [`${name}_PORT`, String(ports[index])])),
    REDIS_URL: `redis://127.0.0.1:${redis}`,
    UPSTREAMS: `example=http://127.0.0.1:${upstream}`,
    ...settings,
  };
}
