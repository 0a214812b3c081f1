import { availableParallelism } from 'node:os';
import { AppError } from '@gatehouse/kit/errors';
import type { Histogram } from 'prom-client';

export interface HashPool {
  /** Runs a hash when a place is free; throws `overloaded` with Retry-After when the queue is full. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** Throws as `run` would, before anything was spent on the request. */
  assertRoom(): void;
}

interface PoolOptions {
  /** 0: as many as the machine has cores. */
  concurrency: number;
  queueMax: number;
  duration: Pick<Histogram, 'observe'>;
}

/**
 * Bounds hashing to the cores and its queue to `queueMax`: beyond that an answer now is worth more than a hash later.
 * The hashes run on libuv's threads, never on the event loop; main.ts makes that pool larger than `concurrency`, so
 * that files and names are still read while every core hashes.
 */
export function createHashPool({ concurrency, queueMax, duration }: PoolOptions): HashPool {
  const places = concurrency || availableParallelism();
  const waiting: (() => void)[] = [];
  let running = 0;
  let lastSeconds = 0.25;

  function assertRoom() {
    if (running < places || waiting.length < queueMax) return;
    const seconds = Math.ceil((waiting.length * lastSeconds) / places) + Math.floor(Math.random() * 3);
    throw new AppError('overloaded', 'Too many sign-ins at this moment.', {
      headers: { 'retry-after': String(Math.max(1, seconds)) },
    });
  }

  async function run<T>(work: () => Promise<T>): Promise<T> {
    assertRoom();
    if (running < places) running++;
    // A place is handed over, not freed: whoever comes in between cannot overtake the queue.
    else await new Promise<void>((resolve) => waiting.push(resolve));
    const start = performance.now();
    try {
      return await work();
    } finally {
      lastSeconds = (performance.now() - start) / 1000;
      duration.observe(lastSeconds);
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  }

  return { run, assertRoom };
}
