import { type Job, Queue, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from './log.ts';
import { quietly } from './redis.ts';

export type { Job, Queue, Worker };

interface QueueConnection {
  url: string;
  password?: string | undefined;
  log: Logger;
}

const COMMAND_TIMEOUT_MS = 2_000;

/** A connection as BullMQ needs it; commands of producers fail fast, a worker's blocking ones wait for Redis to be back. */
export function queueConnection({ url, password, log }: QueueConnection, { blocking }: { blocking: boolean }): Redis {
  const redis = new Redis(url, {
    ...(password ? { password } : {}),
    ...(blocking ? {} : { commandTimeout: COMMAND_TIMEOUT_MS }),
    maxRetriesPerRequest: blocking ? null : 1,
    enableOfflineQueue: blocking,
    retryStrategy: (times) => Math.min(200 * times, 2000),
  });
  quietly(redis, log);
  return redis;
}

/** A queue to add to. A finished job leaves Redis at once: what is owed and what was done is in Postgres. */
export function openQueue(name: string, connection: Redis): Queue {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
  // Unheard, an error event would end the process; the connection logs the outage itself.
  queue.on('error', () => undefined);
  return queue;
}

/**
 * What a handler throws when its job failed: `code` is all that Redis gets to know of it. With `retryInMs` the job runs
 * again after that time, for as long as it has attempts left; without, it is given up.
 */
export function jobFailure(code: string, retryInMs?: number): Error {
  const error = retryInMs === undefined ? new UnrecoverableError(code) : Object.assign(new Error(code), { retryInMs });
  // A stack trace may repeat what the failure was about.
  error.stack = '';
  return error;
}

interface WorkOptions {
  queue: string;
  connection: Redis;
  concurrency: number;
  handle: (job: Job) => Promise<void>;
  /** Shorter in tests. */
  lockMs?: number;
  /** False: it waits for `run()`. */
  autorun?: boolean;
}

// A worker that died loses its lock after this; the next check, three quarters of it later, gives the job to another.
const LOCK_MS = 20_000;

/** Works through a queue; BullMQ delivers at least once, so `handle` must be idempotent. */
export function work({
  queue,
  connection,
  concurrency,
  handle,
  lockMs = LOCK_MS,
  autorun = true,
}: WorkOptions): Worker {
  const worker = new Worker(queue, handle, {
    connection,
    concurrency,
    autorun,
    maxStalledCount: 3,
    lockDuration: lockMs,
    stalledInterval: lockMs * 0.75,
    settings: {
      backoffStrategy: (_attempts, _type, error) => (error as { retryInMs?: number } | undefined)?.retryInMs ?? 0,
    },
  });
  worker.on('error', () => undefined);
  return worker;
}
