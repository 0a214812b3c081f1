import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until `condition` gives something true and returns that; while it throws or gives nothing it is asked again.
 * Throws its last error, or that it did not come about, after `timeoutMs`.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs = 10 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = new Error(`the condition did not come about within ${timeoutMs} ms`);
  do {
    try {
      const result = await condition();
      if (result) return result as NonNullable<Exclude<T, false>>;
    } catch (error) {
      last = error;
    }
    await delay(everyMs);
  } while (Date.now() < deadline);
  throw last;
}
