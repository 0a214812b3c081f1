/** Sizes of the fixed windows in seconds: minute, hour, day. */
export const WINDOW_SECONDS = [60, 3600, 86_400] as const;
export const WINDOW_NAMES = ['minute', 'hour', 'day'] as const;

export type PolicyName = 'address' | 'user' | 'key';

/** Requests allowed per minute, hour and day. */
export type Limits = readonly [number, number, number];

export interface Window {
  /** Which minute, hour or day since the epoch is being counted. */
  index: number;
  /** Counted by this process, exactly. */
  own: number;
  /** Counted by the others, as of the last exchange with Redis. */
  others: number;
}

/** The counters of one address, user or key. */
export interface Meter {
  policy: PolicyName;
  subject: string;
  windows: readonly [Window, Window, Window];
  /** False until Redis told what was counted before this process saw the subject, or could not be asked. */
  known: boolean;
  loading: Promise<void> | undefined;
  dirty: boolean;
  /** The minute whose first refusal is in the record: a flood of them is one event. */
  refusalRecordedIn: number;
}

export function createMeter(policy: PolicyName, subject: string): Meter {
  const window = (): Window => ({ index: -1, own: 0, others: 0 });
  return {
    policy,
    subject,
    windows: [window(), window(), window()],
    known: false,
    loading: undefined,
    dirty: false,
    refusalRecordedIn: -1,
  };
}

/** Turns the windows to the present; a new window starts at zero. */
export function turn(meter: Meter, nowSeconds: number): void {
  for (let i = 0; i < 3; i++) {
    const window = meter.windows[i] as Window;
    const index = Math.floor(nowSeconds / (WINDOW_SECONDS[i] as number));
    if (window.index !== index) {
      window.index = index;
      window.own = 0;
      window.others = 0;
    }
  }
}

/** Counts one request where every window has room; returns the number of the window that has none, else -1. */
export function spend(meter: Meter, limits: Limits, nowSeconds: number): number {
  turn(meter, nowSeconds);
  for (let i = 0; i < 3; i++) {
    const window = meter.windows[i] as Window;
    if (window.own + window.others >= (limits[i] as number)) return i;
  }
  for (let i = 0; i < 3; i++) (meter.windows[i] as Window).own += 1;
  return -1;
}

export function remaining(meter: Meter, limits: Limits, window: number): number {
  const { own, others } = meter.windows[window] as Window;
  return Math.max(0, (limits[window] as number) - own - others);
}

/** The window with the smallest share left: the one that a client must watch. */
export function tightest(meter: Meter, limits: Limits): number {
  let found = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const share = remaining(meter, limits, i) / (limits[i] as number);
    if (share < least) {
      least = share;
      found = i;
    }
  }
  return found;
}

export function secondsLeft(window: number, nowSeconds: number): number {
  const size = WINDOW_SECONDS[window] as number;
  return size - (nowSeconds % size);
}
