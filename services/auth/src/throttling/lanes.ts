import { hmac } from '@gatehouse/kit/crypto';
import type { Db } from '@gatehouse/kit/db';
import type { Deps } from '../deps.ts';
import type { LIMITERS } from '../metrics.ts';
import { findNextTry, type Policy, returnTry, type Try, takeTry } from './store.ts';

type LaneDeps = Pick<Deps, 'config' | 'clock' | 'metrics' | 'secrets'>;

/** One of the ways to an account on which tries at its password are counted. */
export interface Lane extends Policy {
  limiter: (typeof LIMITERS)[number];
  bucket: Buffer;
}

/** A try that was let in: `locks` tells that the lane is locked from now on, should the try fail. */
export interface Taken extends Try {
  lane: Lane;
  locks: { until: Date | null } | undefined;
}

const NEVER = 2_147_483_647;
// NIST SP 800-63B-4, 3.2.2: no more than 100 failures in a row, over all ways together. The devices of the owner have a
// share of their own, which strangers cannot use up.
const STRANGERS_FAILURES_MAX = 80;
const DEVICES_FAILURES_MAX = 20;

const bucketOf = ({ secrets }: LaneDeps, ...parts: string[]) => hmac(secrets.budgets, parts.join('\n'));

function lane(deps: LaneDeps, limiter: Lane['limiter'], subject: string[], policy: Partial<Policy>): Lane {
  return {
    limiter,
    bucket: bucketOf(deps, limiter, ...subject),
    windowSeconds: deps.config.LOGIN_BUDGET_WINDOW_SECONDS,
    free: NEVER,
    delaySeconds: 0,
    delayMaxSeconds: 0,
    lockAfter: NEVER,
    lockSeconds: 0,
    failuresMax: NEVER,
    ...policy,
  };
}

/** Everyone whose device the account does not know. */
export function strangersLane(deps: LaneDeps, email: string): Lane {
  const { LOGIN_BUDGET, LOGIN_LOCK_FAILURES, LOGIN_LOCK_SECONDS } = deps.config;
  return lane(deps, 'login_account', [email], {
    free: LOGIN_BUDGET,
    delaySeconds: 2,
    delayMaxSeconds: 60,
    lockAfter: LOGIN_LOCK_FAILURES,
    lockSeconds: LOGIN_LOCK_SECONDS,
    failuresMax: STRANGERS_FAILURES_MAX,
  });
}

/** Strangers from one network at one account. */
export function networkLane(deps: LaneDeps, email: string, network: string): Lane {
  return lane(deps, 'login_account_network', [email, network], own(deps));
}

/** One device that the account knows. */
export function deviceLane(deps: LaneDeps, email: string, deviceId: string): Lane {
  return lane(deps, 'login_device', [email, deviceId], own(deps));
}

/** All devices that the account knows: for the failures in a row, without a delay. */
export function devicesLane(deps: LaneDeps, email: string): Lane {
  return lane(deps, 'login_device', [email], { failuresMax: DEVICES_FAILURES_MAX });
}

function own({ config }: LaneDeps): Partial<Policy> {
  return {
    free: config.LOGIN_ACCOUNT_NETWORK_BUDGET,
    delaySeconds: 30,
    delayMaxSeconds: config.LOGIN_BUDGET_WINDOW_SECONDS,
  };
}

/** Counts a try before it is judged. Refused, it tells the seconds to wait. */
export async function enter(deps: LaneDeps, db: Db, lane: Lane, lasting: boolean): Promise<Taken | number> {
  const now = deps.clock();
  const taken = await takeTry(db, { bucket: lane.bucket, policy: lane, now, lasting });
  if (taken) return { ...taken, lane, locks: lockOf(taken, lane) };
  deps.metrics.rateLimited.inc({ limiter: lane.limiter });
  const nextAt = (await findNextTry(db, lane.bucket)) ?? now;
  // By a clock that went back a pause seems to be longer than it is.
  const longest = Math.max(lane.windowSeconds, lane.delayMaxSeconds, lane.lockSeconds);
  return Math.min(longest, Math.max(1, Math.ceil((nextAt.getTime() - now.getTime()) / 1000)));
}

function lockOf({ judged, failures, locked_until }: Try, { failuresMax }: Lane): Taken['locks'] {
  if (!judged) return undefined;
  if (failures >= failuresMax) return { until: null };
  return locked_until ? { until: locked_until } : undefined;
}

/** Takes back a try that was not judged. */
export function leave(db: Db, taken: Taken): Promise<void> {
  return returnTry(db, taken.lane.bucket, taken, taken.lane.lockAfter);
}
