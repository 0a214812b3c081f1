import { expect, test } from '@jest/globals';
import type { Container } from '../compose.ts';
import { hasCrashed } from './gate.ts';
import { surplusOf } from './restart.ts';

const container = (id: string, what: Partial<Container> = {}): Container => ({
  ...{ id, service: 'auth-blue', state: 'running', health: 'healthy', restarts: 0, exitCode: 0 },
  ...{ startedAt: new Date(0), image: 'gatehouse/auth:000000000000', addresses: {} },
  ...what,
});
const idsOf = (containers: readonly Container[]) => containers.map(({ id }) => id);

test('a process that the engine restarted while it served is not taken for one that ends now', () => {
  expect(hasCrashed(container('a', { restarts: 3 }), 3)).toBe(false);
  expect(hasCrashed(container('a', { restarts: 4 }), 3)).toBe(true);
  expect(hasCrashed(container('a', { restarts: 1 }))).toBe(true);
});

test('of a restart that was killed, what has ended goes and its successor stays', () => {
  const ended = container('ended', { state: 'exited', startedAt: new Date(9) });

  expect(idsOf(surplusOf([container('successor', { startedAt: new Date(1) }), ended], 1))).toEqual(['ended']);
});

test('of two that run, the one that does not get well goes, else the older one', () => {
  const old = container('old');
  const fresh = { startedAt: new Date(1) };

  expect(idsOf(surplusOf([old, container('new', fresh)], 1))).toEqual(['old']);
  expect(idsOf(surplusOf([old, container('new', { ...fresh, health: 'starting' })], 1))).toEqual(['new']);
});

test('as many as are wanted all stay, whatever they are', () => {
  expect(surplusOf([container('a'), container('b', { state: 'exited' })], 2)).toEqual([]);
});
