import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import type { User } from '../accounts/accounts.ts';
import { networkOf } from '../addresses.ts';
import { type Budget, giveBack, spend, usedUp } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';
import { type Client, knownDeviceOf } from '../devices/devices.ts';
import { deviceLane, devicesLane, enter, type Lane, leave, networkLane, strangersLane, type Taken } from './lanes.ts';
import { deleteLanes, deleteLockout, forgiveFailures } from './store.ts';

export { clearLocks, tellLocked } from './locks.ts';
export { findLockout, type Lockout, listLockouts } from './store.ts';

type ThrottlingDeps = Pick<Deps, 'config' | 'clock' | 'metrics' | 'secrets' | 'pool'>;

interface Visit {
  email: string;
  client: Client;
  /** The account of the address, where there is one. */
  user: User | undefined;
}

/** A try at a password that may be made, and what it was counted in. */
export interface Entry {
  email: string;
  network: Budget | undefined;
  taken: Taken[];
  device: boolean;
  /** Whether the password counts. A locked account takes the same work and gets the answer to a wrong one. */
  judged: boolean;
  /** The lock that a failure of this try brings. */
  locks: Taken['locks'];
}

/**
 * Counts a sign-in before its password is looked at; throws `rate_limited` when it comes too soon. Devices that the
 * account knows have a lane of their own, so that no stranger locks the owner out; all others share the account's,
 * whatever network they come from.
 */
export async function enterLogin(deps: ThrottlingDeps, actor: Actor, visit: Visit): Promise<Entry> {
  const device = await knownDeviceOf(deps, deps.pool, visit.email, visit.client);
  return (device && (await enterKnown(deps, visit, device))) || enterAsStranger(deps, actor, visit);
}

/** Undefined when the known devices have used up their failures: from then on they are strangers like others. */
async function enterKnown(deps: ThrottlingDeps, { email, user }: Visit, device: string): Promise<Entry | undefined> {
  const one = await enterOrThrow(deps, deviceLane(deps, email, device), user);
  const all = await enterOrThrow(deps, devicesLane(deps, email), user);
  if (!all.judged) {
    await leave(deps.pool, one);
    return undefined;
  }
  return { email, network: undefined, taken: [one, all], device: true, judged: true, locks: undefined };
}

// The network first: who has used that up cannot go on using up the lanes of accounts.
async function enterAsStranger(deps: ThrottlingDeps, actor: Actor, { email, user }: Visit): Promise<Entry> {
  const network = networkBudget(deps, actor);
  await spend(deps, network);
  const near = await enterOrThrow(deps, networkLane(deps, email, network.subject), user);
  const account = await enter(deps, deps.pool, strangersLane(deps, email), user !== undefined);
  if (typeof account === 'number') {
    // Others made it wait: that costs this network none of its own tries.
    await leave(deps.pool, near);
    throw refused(strangersLane(deps, email), account);
  }
  const { judged, locks } = account;
  return { email, network, taken: [near, account], device: false, judged, locks };
}

function networkBudget({ config, metrics }: ThrottlingDeps, actor: Actor): Budget {
  return {
    limiter: 'login_network',
    subject: networkOf(actor.address),
    max: config.LOGIN_NETWORK_BUDGET,
    windowSeconds: config.LOGIN_BUDGET_WINDOW_SECONDS,
    onLast: () => metrics.lockouts.inc({ scope: 'ip' }),
  };
}

async function enterOrThrow(deps: ThrottlingDeps, lane: Lane, user: User | undefined): Promise<Taken> {
  const taken = await enter(deps, deps.pool, lane, user !== undefined);
  if (typeof taken === 'number') throw refused(lane, taken);
  return taken;
}

const refused = ({ free, windowSeconds }: Lane, seconds: number) => usedUp({ max: free, windowSeconds }, seconds);

/** The try was not judged, so it was none. */
export async function withdrawLogin(deps: ThrottlingDeps, { taken, network }: Entry): Promise<void> {
  for (const one of taken) await leave(deps.pool, one);
  if (network) await giveBack(deps, deps.pool, network);
}

/** The password was right: whoever knows it has proved to be the owner, and the failures in a row end. */
export async function passLogin(deps: ThrottlingDeps, tx: Tx, entry: Entry, userId: string): Promise<void> {
  const { email, taken, network, device } = entry;
  const strangers = strangersLane(deps, email).bucket;
  const lanes = taken.map(({ lane }) => lane.bucket).filter((bucket) => !(device && bucket.equals(strangers)));
  await deleteLanes(tx, [...lanes, devicesLane(deps, email).bucket]);
  if (device) await forgiveFailures(tx, strangers, userId, deps.clock());
  else await deleteLockout(tx, userId);
  // Only this try: a source that owns one account must not earn new guesses at others with it.
  if (network) await giveBack(deps, tx, network);
}
