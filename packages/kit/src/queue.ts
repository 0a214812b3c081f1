import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from './log.ts';
import { quietly } from './redis.ts';

interface QueueConnection {
  url: string;
  password?: string | undefined;
  log: Logger;
}

/** A connection as BullMQ needs it; commands of producers fail fast, a worker's blocking ones wait for Redis to be back. */
export function queueConnection({ url, password, log }: QueueConnection, { blocking }: { blocking: boolean }): Redis {
  const redis = new Redis(url, {
    ...(password ? { password } : {}),
    maxRetriesPerRequest: blocking ? null : 1,
    enableOfflineQueue: blocking,
    retryStrategy: (times) => Math.min(200 * times, 2000),
  });
  quietly(redis, log);
  return redis;
}

/** A queue to add to. A finished job leaves Redis at once: what is owed and what was done is in Postgres. */
export function openQueue(name: string, connection: Redis): Queue {
  return new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
}

interface WorkOptions {
  queue: string;
  connection: Redis;
  concurrency: number;
  handle: (job: Job) => Promise<void>;
}

/** Works through a queue; BullMQ delivers at least once, so `handle` must be idempotent. */
export function work({ queue, connection, concurrency, handle }: WorkOptions): Worker {
  return new Worker(queue, handle, { connection, concurrency, maxStalledCount: 3 });
}
