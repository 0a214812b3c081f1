import { errorFields, type Logger } from './log.ts';
import type { Redis } from './redis.ts';

// Longer than any transaction may last (statement timeout 5 s, a handful of statements).
const TOMBSTONE_SECONDS = 15;
// At most as long as a tombstone; and up to the spread shorter, so that what was filled at one instant does not expire
// at one instant, when everyone who wants it would come to its owner at once.
const FACT_SECONDS = 15;
const SPREAD_SECONDS = 5;
const RETRY_MS = 100;

export interface Facts {
  /** The cached values, undefined where none is known or none can be trusted. Throws when Redis does not answer. */
  read(keys: string[]): Promise<(string | undefined)[]>;
  /** Caches what Postgres says, unless the fact was changed a moment ago. Never throws. */
  fill(key: string, value: unknown): Promise<void>;
  /** The same for many, in one trip. */
  fillAll(entries: readonly (readonly [key: string, value: unknown])[]): Promise<void>;
  /** Forgets facts. Called in the transaction that changes them, before it commits. Never throws. */
  invalidate(...keys: string[]): Promise<void>;
}

/**
 * The cache of facts (session, member, organization, key) that their owner keeps in Redis.
 *
 * An invalidation leaves a tombstone: a reader that read Postgres before the change cannot fill its old answer in
 * (SET NX), and while the tombstone stands every reader asks the owner. Because it is laid before the commit, a process
 * that dies between the two leaves nothing stale. A lost Redis loses only cached answers, never the truth: what could
 * not be invalidated is, as soon as Redis can be reached again, and one that was away is not read from until all that
 * it held before has expired.
 */
export function createFacts(redis: Redis, log: Logger): Facts {
  const owed = new Map<string, number>();
  let lost = false;
  let trustedFrom = 0;
  redis.on('close', () => {
    lost = true;
  });
  redis.on('ready', () => {
    if (lost) trustedFrom = performance.now() + FACT_SECONDS * 1000;
    lost = false;
  });

  async function bury(keys: Iterable<string>): Promise<void> {
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.set(key, '', 'EX', TOMBSTONE_SECONDS);
    const results = await pipeline.exec();
    const failed = results?.find(([error]) => error)?.[0];
    if (failed) throw failed;
  }

  /** Tries until it works, or until no answer from before the change can be left. */
  async function retry(): Promise<void> {
    for (const [key, until] of owed) if (until < performance.now()) owed.delete(key);
    const due = [...owed];
    try {
      await bury(owed.keys());
      // One that changed once more meanwhile is owed anew.
      for (const [key, until] of due) if (owed.get(key) === until) owed.delete(key);
    } catch {
      // Redis is still away.
    }
    if (owed.size > 0) setTimeout(retry, RETRY_MS).unref();
  }

  function buryLater(keys: string[]): void {
    if (owed.size === 0) setTimeout(retry, RETRY_MS).unref();
    for (const key of keys) owed.set(key, performance.now() + FACT_SECONDS * 1000);
  }

  async function fillAll(entries: readonly (readonly [key: string, value: unknown])[]): Promise<void> {
    const pipeline = redis.pipeline();
    for (const [key, value] of entries) pipeline.set(key, JSON.stringify(value), 'PX', msToLive(), 'NX');
    await pipeline.exec().catch(() => undefined);
  }

  return {
    async read(keys) {
      if (performance.now() < trustedFrom) return keys.map(() => undefined);
      const values = await redis.mget(keys);
      return values.map((value) => value || undefined);
    },
    fill: (key, value) => fillAll([[key, value]]),
    fillAll,
    async invalidate(...keys) {
      await bury(keys).catch((error) => {
        log.warn('a cached fact could not be invalidated yet', errorFields(error));
        buryLater(keys);
      });
    },
  };
}

function msToLive(): number {
  return Math.round((FACT_SECONDS - Math.random() * SPREAD_SECONDS) * 1000);
}
