import type { Clock } from '@gatehouse/kit/clock';

export interface TestClock extends Clock {
  now(): Date;
  /** Moves the time forward. */
  advance(ms: number): void;
  set(time: Date): void;
}

/** A clock that stands still until it is moved. It starts at the present, as PostgreSQL and tokens know it. */
export function testClock(start: Date = new Date()): TestClock {
  let time = start.getTime();
  const now = (): Date => new Date(time);
  return Object.assign(() => now(), {
    now,
    advance(ms: number) {
      time += ms;
    },
    set(to: Date) {
      time = to.getTime();
    },
  });
}
