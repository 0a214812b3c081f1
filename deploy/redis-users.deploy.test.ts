import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger } from '@gatehouse/kit/log';
import { openQueue, queueConnection, work } from '@gatehouse/kit/queue';
import { openRedis } from '@gatehouse/kit/redis';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { must, run } from './src/command.ts';
import type { Context } from './src/context.ts';
import { ensureSecrets } from './src/secrets/ensure.ts';
import { contentsOf, emptyHost, makeBase, QUIET } from './testing/empty-host.ts';

const base = makeBase();
const started: string[] = [];
afterAll(async () => {
  if (started.length > 0) await run('docker', ['rm', '-f', ...started]);
  rmSync(base, { recursive: true, force: true });
});

const secretFile = ({ places }: Context, path: string) => join(places.secrets, path);

/** Starts a container that ends with the tests; returns the port on this machine of the one that it exposes. */
async function start(port: number, args: readonly string[]): Promise<number> {
  const id = (await must('docker', ['run', '-d', '-p', `127.0.0.1::${port}`, ...args])).trim();
  started.push(id);
  return Number((await must('docker', ['port', id, String(port)])).trim().split('\n')[0]?.split(':').at(-1));
}

describe('the users of Redis', () => {
  const context = emptyHost(join(base, 'redis'));
  const log = createLogger({ service: 'test', version: '', environment: 'development', level: 'error' });
  let url = '';
  const password = (path: string) => contentsOf(context.places.secrets)[path] ?? '';
  beforeAll(async () => {
    await ensureSecrets(context, QUIET);
    const mount = ['-v', `${secretFile(context, 'redis/users.acl')}:/run/secrets/users.acl:ro`];
    const server = [
      'redis:8',
      'redis-server',
      '--aclfile',
      '/run/secrets/users.acl',
      '--maxmemory-policy',
      'noeviction',
    ];
    url = `redis://127.0.0.1:${await start(6379, ['--user', '999:999', ...mount, ...server])}`;
  });

  test('the processes run their queues, also delayed and repeated jobs', async () => {
    const options = { url, password: password('app/REDIS_PASSWORD'), log };
    const connection = queueConnection(options, { blocking: true });
    const queue = openQueue('trial', connection);
    const blocking = queueConnection(options, { blocking: true });
    let failures = 0;
    const done = new Promise<void>((resolve) => {
      const names: string[] = [];
      const worker = work({
        queue: 'trial',
        connection: blocking,
        concurrency: 2,
        async handle(job) {
          if (job.name === 'second-time' && job.attemptsMade === 0) throw new Error('once');
          names.push(job.name);
          if (new Set(names).size === 4) setImmediate(resolve);
        },
      });
      worker.on('failed', () => failures++);
    });
    await queue.add('now', {});
    await queue.add('later', {}, { delay: 20, priority: 1 });
    await queue.add('second-time', {}, { attempts: 2, backoff: 10 });
    await queue.upsertJobScheduler('clock', { every: 1000 }, { name: 'repeated' });
    await done;

    expect(failures).toBe(1);
    expect(await queue.getWorkers()).toHaveLength(1);
    await queue.removeJobScheduler('clock');
    blocking.disconnect();
    connection.disconnect();
  });

  test.each([
    [
      'default',
      [
        'FLUSHALL',
        'KEYS *',
        'CONFIG GET *',
        'SHUTDOWN',
        'ACL LIST',
        'MONITOR',
        'SAVE',
        'FUNCTION LIST',
        'SWAPDB 0 1',
        'SCRIPT DEBUG SYNC',
      ],
    ],
    [
      'monitor',
      ['GET x', 'SET x 1', 'SCAN 0', 'EVAL return 0', 'SLOWLOG GET', 'CONFIG SET maxmemory 1', 'CLIENT LIST'],
    ],
  ])('%s is refused what it does not need', async (user, commands) => {
    const secret = user === 'default' ? password('app/REDIS_PASSWORD') : password('redis/REDIS_MONITOR_PASSWORD');
    const redis = openRedis({ url: url.replace('//', `//${user}:${secret}@`), log, name: 'test' });
    await new Promise((resolve) => redis.once('ready', resolve));

    for (const command of commands) {
      const [name = '', ...args] = command.split(' ');
      await expect(redis.call(name, args)).rejects.toThrow(/NOPERM/);
    }
    expect(await redis.ping()).toBe('PONG');
    redis.disconnect();
  });

  test('the exporter signs in with its file and reads everything it asks for', async () => {
    const network = `gatehouse-secrets-${randomBytes(4).toString('hex')}`;
    await must('docker', ['network', 'create', network]);
    try {
      const [redis = ''] = started.slice(-1);
      await must('docker', ['network', 'connect', '--alias', 'redis', network, redis]);
      const mount = ['-v', `${secretFile(context, 'monitoring/REDIS_EXPORTER_PASSWORDS')}:/run/secrets/P:ro`];
      const options = ['-redis.addr=redis://redis:6379', '-redis.user=monitor', '-redis.password-file=/run/secrets/P'];
      const port = await start(9121, [
        '--network',
        network,
        '--user',
        '65534:65534',
        ...mount,
        'oliver006/redis_exporter:v1.69.0',
        ...options,
      ]);
      const scrape = () => fetch(`http://127.0.0.1:${port}/metrics`).then((answer) => answer.text());
      let metrics = '';
      while (!metrics) metrics = await scrape().catch(() => '');

      expect(metrics).toMatch(/^redis_up 1$/m);
      expect(metrics).toMatch(/^redis_exporter_last_scrape_error\{err=""\} 0$/m);
      await must('docker', ['rm', '-f', started.pop() ?? '']);
      await must('docker', ['network', 'disconnect', network, redis]);
    } finally {
      await run('docker', ['network', 'rm', network]);
    }
  });
});
