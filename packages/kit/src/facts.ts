import { errorFields, type Logger } from './log.ts';
import type { Redis } from './redis.ts';

// Longer than any transaction may last (statement timeout 5 s, a handful of statements).
const TOMBSTONE_SECONDS = 15;
const FACT_SECONDS = 15;

export interface Facts {
  /** The cached values, undefined where none is known. Throws when Redis does not answer. */
  read(keys: string[]): Promise<(string | undefined)[]>;
  /** Caches what Postgres says, unless the fact was changed a moment ago. Never throws. */
  fill(key: string, value: unknown): Promise<void>;
  /** Forgets facts. Called in the transaction that changes them, before it commits. Never throws. */
  invalidate(...keys: string[]): Promise<void>;
}

/**
 * The cache of facts (session, member, organization, key) that their owner keeps in Redis.
 *
 * An invalidation leaves a tombstone: a reader that read Postgres before the change cannot fill its old answer in
 * (SET NX), and while the tombstone stands every reader asks the owner. Because it is laid before the commit, a process
 * that dies between the two leaves nothing stale. A lost Redis loses only cached answers, never the truth.
 */
export function createFacts(redis: Redis, log: Logger): Facts {
  return {
    async read(keys) {
      const values = await redis.mget(keys);
      return values.map((value) => value || undefined);
    },
    async fill(key, value) {
      await redis.set(key, JSON.stringify(value), 'EX', FACT_SECONDS, 'NX').catch(() => undefined);
    },
    async invalidate(...keys) {
      const pipeline = redis.pipeline();
      for (const key of keys) pipeline.set(key, '', 'EX', TOMBSTONE_SECONDS);
      const bury = async () => {
        const results = await pipeline.exec();
        const failed = results?.find(([error]) => error)?.[0];
        if (failed) throw failed;
      };
      await bury().catch((error) => log.warn('a cached fact could not be invalidated', errorFields(error)));
    },
  };
}
