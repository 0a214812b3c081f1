import { expect, test } from '@jest/globals';
import { createHashPool } from './pool.ts';

const duration = { observe: () => undefined };

test('S009 no more hashes run than there are places, and those beyond the queue are refused with Retry-After', async () => {
  const pool = createHashPool({ concurrency: 2, queueMax: 3, duration });
  const gates: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => gates.push(resolve));
    running--;
  };

  const runs = Array.from({ length: 7 }, () => pool.run(work));
  const settled = Promise.allSettled(runs);
  while (gates.length > 0) {
    gates.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  const outcomes = await settled;
  expect(most).toBe(2);
  expect(outcomes.map(({ status }) => status)).toEqual([...Array(5).fill('fulfilled'), 'rejected', 'rejected']);
  expect(outcomes[6]).toMatchObject({ reason: { code: 'overloaded', headers: { 'retry-after': /^\d+$/ } } });
});

test('a hash that fails gives its place back', async () => {
  const pool = createHashPool({ concurrency: 1, queueMax: 0, duration });
  await expect(pool.run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  await expect(pool.run(async () => 'hashed')).resolves.toBe('hashed');
});
