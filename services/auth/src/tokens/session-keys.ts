import type { KeyObject } from 'node:crypto';

/** Keys of sessions whose rows were opened a while ago. */
export interface SessionKeys {
  get(sessionId: string): KeyObject | undefined;
  remember(sessionId: string, key: KeyObject): void;
}

const SESSIONS_MAX = 20_000;

/**
 * Remembers the keys of the sessions that were refreshed last. A session keeps its key for life, so that none of them
 * can be out of date; whether the session lives is not in here, and is asked of Postgres each time.
 */
export function createSessionKeys(max = SESSIONS_MAX): SessionKeys {
  const keys = new Map<string, KeyObject>();
  return {
    get: (sessionId) => keys.get(sessionId),
    remember(sessionId, key) {
      if (keys.size >= max) keys.delete(keys.keys().next().value as string);
      keys.set(sessionId, key);
    },
  };
}
