import { randomUUID } from 'node:crypto';
import type { Redis } from '@gatehouse/kit/redis';
import { keyOf, type Meter, secondsLeft, turn, type Window } from './meters.ts';

const FLUSH_MS = 100;
/** While Redis is away one attempt in so long shows when it is back. */
const RETRY_MS = 1_000;
const KEYS_PER_CALL = 600;
const EXPIRE_SLACK_SECONDS = 60;

// Each process writes its own total into its own field, so that a call that was repeated, or that a hanging Redis
// carries out late, counts nothing twice. A key of another type is left over from something else and is replaced.
const EXCHANGE = `
local totals = {}
for i = 1, #KEYS do
  local written = redis.pcall('HSET', KEYS[i], ARGV[1], ARGV[2 * i])
  if type(written) == 'table' and written.err then
    redis.call('DEL', KEYS[i])
    redis.call('HSET', KEYS[i], ARGV[1], ARGV[2 * i])
  end
  redis.call('EXPIRE', KEYS[i], ARGV[2 * i + 1])
  local sum = 0
  for _, value in ipairs(redis.call('HVALS', KEYS[i])) do sum = sum + (tonumber(value) or 0) end
  totals[i] = sum
end
return totals`;

// Of each key what the others counted, and what this process did before it forgot the subject for others.
const READ = `
local counts = {}
for i = 1, #KEYS do
  local sum, own = 0, 0
  local values = redis.pcall('HVALS', KEYS[i])
  if not values.err then
    for _, value in ipairs(values) do sum = sum + (tonumber(value) or 0) end
    own = tonumber(redis.call('HGET', KEYS[i], ARGV[1]) or 0) or 0
  end
  counts[2 * i - 1] = sum - own
  counts[2 * i] = own
end
return counts`;

interface Options {
  redis: Redis;
  /** Seconds since the epoch. */
  nowSeconds: () => number;
}

/** Shares the counts between the gateways by way of Redis, about ten times a second and off the requests' path. */
export function createCountExchange({ redis, nowSeconds }: Options) {
  const instance = randomUUID().slice(0, 8);
  const dirty = new Set<Meter>();
  let down = false;
  let retryAt = 0;
  let flushing: Promise<void> | undefined;

  const keysOf = (meter: Meter) => meter.windows.map((window) => keyOf(meter, window));

  function failed(): void {
    down = true;
    retryAt = performance.now() + RETRY_MS;
  }

  async function send(meters: Meter[]): Promise<void> {
    const keys: string[] = [];
    const values: (string | number)[] = [instance];
    const sent: { window: Window; index: number; own: number }[] = [];
    const now = nowSeconds();
    for (const meter of meters) {
      keys.push(...keysOf(meter));
      for (const window of meter.windows) {
        values.push(window.own, secondsLeft(window, now) + EXPIRE_SLACK_SECONDS);
        sent.push({ window, index: window.index, own: window.own });
      }
    }
    const totals = (await redis.eval(EXCHANGE, keys.length, ...keys, ...values)) as number[];
    sent.forEach(({ window, index, own }, i) => {
      if (window.index === index) window.others = Math.max(0, (totals[i] ?? 0) - own);
    });
  }

  async function flushAll(): Promise<void> {
    while (dirty.size > 0) {
      const batch: Meter[] = [];
      for (const meter of dirty) {
        batch.push(meter);
        if (batch.length * 3 >= KEYS_PER_CALL) break;
      }
      for (const meter of batch) {
        dirty.delete(meter);
        meter.dirty = false;
      }
      try {
        await send(batch);
        down = false;
      } catch {
        failed();
        for (const meter of batch) markDirty(meter);
        return;
      }
    }
  }

  function flush(): Promise<void> {
    flushing ??= flushAll().finally(() => {
      flushing = undefined;
    });
    return flushing;
  }

  function markDirty(meter: Meter): void {
    if (meter.dirty) return;
    meter.dirty = true;
    dirty.add(meter);
  }

  const timer = setInterval(() => {
    if (dirty.size > 0 && performance.now() >= retryAt) flush().catch(() => undefined);
  }, FLUSH_MS);
  timer.unref();

  return {
    /** From the first exchange that failed to the next one that works. */
    isDown: () => down,
    markDirty,
    /** What was counted before this process saw the subject. Settles always: without Redis the count starts here. */
    async learn(meter: Meter): Promise<void> {
      turn(meter, nowSeconds());
      try {
        const counts = (await redis.eval(READ, meter.windows.length, ...keysOf(meter), instance)) as number[];
        meter.windows.forEach((window, i) => {
          window.others = counts[2 * i] ?? 0;
          // Or what it counted since, while Redis was away.
          window.own = Math.max(window.own, counts[2 * i + 1] ?? 0);
        });
      } catch {
        failed();
      }
      meter.known = true;
    },
    flush,
    async close(): Promise<void> {
      clearInterval(timer);
      await flush();
    },
  };
}

export type CountExchange = ReturnType<typeof createCountExchange>;
