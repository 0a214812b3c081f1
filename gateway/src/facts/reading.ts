import type { Facts } from '@gatehouse/kit/facts';

/** After Redis failed, it is not waited for again for so long; the owners are asked at once. */
const PAUSE_MS = 1_000;
const KEYS_MAX = 1_000;

interface Waiting {
  keys: string[];
  answer(texts: (string | undefined)[]): void;
}

/**
 * Reads facts from Redis, all that is asked for in one turn of the event loop at once: with thousands of members a
 * command for each would cost more than the rest of their requests. Never rejects: what cannot be read is not known.
 */
export function createFactReader(redis: Pick<Facts, 'read'>, now: () => number) {
  let waiting: Waiting[] = [];
  let pausedUntil = 0;

  async function send(batch: Waiting[]): Promise<void> {
    const keys = batch.flatMap((one) => one.keys);
    const texts = await redis.read(keys).catch(() => {
      pausedUntil = now() + PAUSE_MS;
      return [];
    });
    let at = 0;
    for (const { keys: own, answer } of batch) {
      answer(own.map((_, i) => texts[at + i]));
      at += own.length;
    }
  }

  function sendAll(): void {
    const all = waiting;
    waiting = [];
    for (let i = 0; i < all.length; i += KEYS_MAX / 2) void send(all.slice(i, i + KEYS_MAX / 2));
  }

  return (keys: string[]): Promise<(string | undefined)[]> => {
    if (now() < pausedUntil) return Promise.resolve(keys.map(() => undefined));
    return new Promise((answer) => {
      if (waiting.push({ keys, answer }) === 1) setImmediate(sendAll);
    });
  };
}
