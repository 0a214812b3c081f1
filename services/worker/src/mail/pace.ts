interface Pace {
  /** How many at once when all is well. */
  most: number;
  /** A sending that takes longer is slow. */
  slowMs: number;
  /** Takes over how many there may be at once from now on. */
  set(count: number): void;
}

/**
 * Sends fewer mails at once to a mail server that is slow: one that takes a mail every few seconds would let those that
 * wait behind the first run out of time, and nobody would know whether it has taken them.
 */
export function createPace({ most, slowMs, set }: Pace) {
  let count = most;
  return async function paced<T>(send: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await send();
    } finally {
      const next = performance.now() - startedAt > slowMs ? 1 : Math.min(most, count + 1);
      if (next !== count) set(next);
      count = next;
    }
  };
}
