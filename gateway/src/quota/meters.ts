import { requestsKey } from '@gatehouse/contracts/plans';

interface WindowSize {
  name: 'minute' | 'hour' | 'day';
  seconds: number;
}

const MINUTE: WindowSize = { name: 'minute', seconds: 60 };
const HOUR: WindowSize = { name: 'hour', seconds: 3600 };
const DAY: WindowSize = { name: 'day', seconds: 86_400 };

/** The fixed windows of each policy. What a plan allows is said by the day. */
export const WINDOWS = {
  address: [MINUTE, HOUR, DAY],
  user: [MINUTE, HOUR, DAY],
  key: [MINUTE, HOUR, DAY],
  org: [DAY],
} as const satisfies Record<string, readonly WindowSize[]>;

export type PolicyName = keyof typeof WINDOWS;

/** Requests allowed in each of a policy's windows. */
export type Limits = readonly number[];

export interface Window {
  size: WindowSize;
  /** Which minute, hour or day since the epoch is being counted. */
  index: number;
  /** Counted by this process, exactly. */
  own: number;
  /** Counted by the others, as of the last exchange with Redis. */
  others: number;
}

/** The counters of one address, user, key or organization. */
export interface Meter {
  policy: PolicyName;
  subject: string;
  windows: readonly Window[];
  /** False until Redis told what was counted before this process saw the subject, or could not be asked. */
  known: boolean;
  loading: Promise<void> | undefined;
  dirty: boolean;
  /** The minute whose first refusal is in the record: a flood of them is one event. */
  refusalRecordedIn: number;
}

export function createMeter(policy: PolicyName, subject: string): Meter {
  return {
    policy,
    subject,
    windows: WINDOWS[policy].map((size) => ({ size, index: -1, own: 0, others: 0 })),
    known: false,
    loading: undefined,
    dirty: false,
    refusalRecordedIn: -1,
  };
}

/** Where Redis holds what all gateways counted in a window. */
export function keyOf({ policy, subject }: Meter, { size, index }: Window): string {
  return policy === 'org'
    ? requestsKey(subject, index * size.seconds)
    : `quota:${policy}:${subject}:${size.name}:${index}`;
}

/** Turns the windows to the present; a new window starts at zero. */
export function turn({ windows }: Meter, nowSeconds: number): void {
  for (let i = 0; i < windows.length; i++) {
    const window = windows[i] as Window;
    const index = Math.floor(nowSeconds / window.size.seconds);
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
  const { windows } = meter;
  for (let i = 0; i < windows.length; i++) {
    const window = windows[i] as Window;
    if (window.own + window.others >= (limits[i] as number)) return i;
  }
  for (let i = 0; i < windows.length; i++) (windows[i] as Window).own += 1;
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
  for (let i = 0; i < meter.windows.length; i++) {
    const share = remaining(meter, limits, i) / (limits[i] as number);
    if (share < least) {
      least = share;
      found = i;
    }
  }
  return found;
}

export function secondsLeft({ size }: Window, nowSeconds: number): number {
  return size.seconds - (nowSeconds % size.seconds);
}
