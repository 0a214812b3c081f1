import { expect, test } from '@jest/globals';
import winston from 'winston';
import { createLifecycle } from './lifecycle.ts';

const log = winston.createLogger({ silent: true });

test('stops phase by phase, whatever the order of registration', async () => {
  const lifecycle = createLifecycle({ log, graceMs: 0 });
  const ended: string[] = [];
  for (const phase of ['connections', 'listeners', 'reports', 'work', 'readiness'] as const)
    lifecycle.onStop(phase, phase, async () => ended.push(phase));

  expect(await lifecycle.stop('test')).toBe(true);

  expect(ended).toEqual(['readiness', 'listeners', 'work', 'connections', 'reports']);
});

test('a part that hangs or throws is named and does not keep the rest from stopping', async () => {
  const lifecycle = createLifecycle({ log, graceMs: 0 });
  let closed = false;
  lifecycle.onStop('work', 'hangs', () => new Promise(() => undefined), 20);
  lifecycle.onStop('work', 'throws', () => {
    throw new Error('broken');
  });
  lifecycle.onStop('connections', 'closes', () => {
    closed = true;
  });

  expect(await lifecycle.stop('test')).toBe(false);
  expect(closed).toBe(true);
});

test('is stopping from the first call on, and stops once', async () => {
  const lifecycle = createLifecycle({ log, graceMs: 0 });
  let count = 0;
  lifecycle.onStop('work', 'counts', () => count++);

  const both = [lifecycle.stop('first'), lifecycle.stop('second')];
  expect(lifecycle.stopping).toBe(true);
  await Promise.all(both);

  expect(count).toBe(1);
});
