import { Redis } from 'ioredis';
import { errorFields, type Logger } from './log.ts';

export type { Redis };

interface RedisOptions {
  url: string;
  password?: string | undefined;
  log: Logger;
  /** Shown by CLIENT LIST. */
  name: string;
  /** Milliseconds until a command without an answer fails; 200 by default. */
  commandTimeoutMs?: number;
}

/**
 * A connection for commands that must answer now: while Redis is away or hangs they fail at once or after the command
 * timeout, and are never kept for later. Callers treat a failure as "not cached".
 */
export function openRedis({ url, password, log, name, commandTimeoutMs = 200 }: RedisOptions): Redis {
  const redis = new Redis(url, {
    ...(password ? { password } : {}),
    connectionName: name,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2000,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(100 * times, 1000),
  });
  quietly(redis, log);
  return redis;
}

/** Logs the first error of an outage and its end, not every attempt to reconnect. */
export function quietly(redis: Redis, log: Logger): void {
  let down = false;
  redis.on('error', (error) => {
    if (!down) log.warn('redis is unavailable', errorFields(error));
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info('redis is back');
    down = false;
  });
}
