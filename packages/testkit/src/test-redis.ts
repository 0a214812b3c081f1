import { Redis } from 'ioredis';
import { currentRun } from './run.ts';

export interface TestRedis {
  url: string;
  client: Redis;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A logical Redis database of its own for a test file, empty: files of one jest worker run one after another. */
export async function testRedis(): Promise<TestRedis> {
  const number = Number(process.env['JEST_WORKER_ID'] ?? 1) % 64;
  const url = `${currentRun().redis.url}/${number}`;
  const client = new Redis(url, { maxRetriesPerRequest: 1 });
  client.on('error', () => undefined);
  await client.flushdb();
  return {
    url,
    client,
    flush: async () => {
      await client.flushdb();
    },
    close: async () => {
      await client.flushdb();
      client.disconnect();
    },
  };
}
