import { hmac } from '@gatehouse/kit/crypto';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Redis } from '@gatehouse/kit/redis';
import { networkOf } from '../addresses.ts';
import type { Deps } from '../deps.ts';

const WINDOW_SECONDS = 300;
const TOP_ACCOUNTS = 'auth:spray:accounts';
const TOP_SOURCES = 'auth:spray:sources';

// Adds to the estimate of one key and keeps the largest estimate of all, in one round trip and for one window.
const COUNT = `
  redis.call('pfadd', KEYS[1], ARGV[1])
  redis.call('expire', KEYS[1], ARGV[2], 'NX')
  redis.call('zadd', KEYS[2], 'GT', redis.call('pfcount', KEYS[1]), KEYS[1])
  redis.call('expire', KEYS[2], ARGV[2], 'NX')`;

/** Counts a failed sign-in by account and by source. For operators' eyes only: losing it, with Redis, loses a warning. */
export async function countFailure(
  { redis, secrets }: Pick<Deps, 'redis' | 'secrets'>,
  email: string,
  address: string,
) {
  const nameOf = (text: string) => hmac(secrets.budgets, `spray\n${text}`).toString('hex', 0, 12);
  const account = nameOf(email);
  const source = nameOf(networkOf(address));
  await Promise.all([
    redis.eval(COUNT, 2, `${TOP_ACCOUNTS}:${source}`, TOP_ACCOUNTS, account, WINDOW_SECONDS),
    redis.eval(COUNT, 2, `${TOP_SOURCES}:${account}`, TOP_SOURCES, source, WINDOW_SECONDS),
  ]).catch(() => undefined);
}

/** Many accounts from one source is spraying, many sources for one account a distributed attack. */
export function sprayMetrics(metrics: Metrics, redis: Redis): void {
  const highest = async (key: string) => Number((await redis.zrevrange(key, 0, 0, 'WITHSCORES'))[1] ?? 0);
  const gauge = (name: string, help: string, key: string) =>
    metrics.gauge({
      name,
      help,
      collect: async (one) => one.set(await highest(key).catch(() => 0)),
    });
  gauge('auth_failed_distinct_accounts_5m', 'Accounts that one source failed to sign in to, at most.', TOP_ACCOUNTS);
  gauge('auth_failed_distinct_sources_5m', 'Sources that failed to sign in to one account, at most.', TOP_SOURCES);
}
