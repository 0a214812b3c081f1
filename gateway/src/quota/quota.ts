import type { Plan } from '@gatehouse/contracts/identity';
import { createRecent } from '../recent.ts';
import type { CountExchange } from './exchange.ts';
import {
  createMeter,
  type Limits,
  type Meter,
  type PolicyName,
  remaining,
  secondsLeft,
  spend,
  tightest,
  WINDOW_NAMES,
  WINDOW_SECONDS,
} from './meters.ts';

const METERS_MAX = 100_000;

export interface QuotaSettings {
  limits: Record<PolicyName, Limits>;
  /** How many times the limits of users and keys a plan allows. */
  planFactors: Record<Plan, number>;
}

/** What a request has spent so far, for its headers. */
export interface Spent {
  meter: Meter;
  limits: Limits;
  /** The window to show: the one that refused, else the tightest. */
  window: number;
  refused: boolean;
}

interface Options extends QuotaSettings {
  exchange: CountExchange;
  nowSeconds: () => number;
}

/**
 * Limits of volume by address, user and key. Counted here, so exact within a process and without a round trip; shared
 * through Redis ten times a second. While Redis is away every gateway counts alone, to half of each limit: it cannot
 * know what the others let through.
 */
export function createQuota({ limits, planFactors, exchange, nowSeconds }: Options) {
  // One memory a policy: a subject is looked up as it is, without a string made for the question.
  const meters = {
    address: createRecent<Meter>(METERS_MAX),
    user: createRecent<Meter>(METERS_MAX),
    key: createRecent<Meter>(METERS_MAX),
  } satisfies Record<PolicyName, unknown>;
  const limitsByPlan = tables(limits, planFactors);

  function meterOf(policy: PolicyName, subject: string): Meter {
    let meter = meters[policy].get(subject);
    if (!meter) {
      meter = createMeter(policy, subject);
      meters[policy].set(subject, meter);
    }
    return meter;
  }

  return {
    /** Counts a request; a promise must be waited for first, then asked again. */
    spend(policy: PolicyName, subject: string, plan: Plan): Spent | Promise<void> {
      const meter = meterOf(policy, subject);
      const degraded = exchange.isDown();
      if (!meter.known && !degraded) {
        meter.loading ??= exchange.learn(meter).finally(() => {
          meter.loading = undefined;
        });
        return meter.loading;
      }
      const table = limitsByPlan[degraded ? 'degraded' : 'normal'][policy][plan];
      const full = spend(meter, table, nowSeconds());
      if (full === -1) exchange.markDirty(meter);
      return { meter, limits: table, window: full === -1 ? tightest(meter, table) : full, refused: full !== -1 };
    },
    /** Appends the headers of a spent quota to a flat list. */
    writeHeaders(spent: Spent, headers: string[]): void {
      const { meter, limits: table, window } = spent;
      const left = String(spent.refused ? 0 : remaining(meter, table, window));
      const reset = String(secondsLeft(window, nowSeconds()));
      headers.push(
        'x-ratelimit-limit',
        String(table[window]),
        'x-ratelimit-remaining',
        left,
        'x-ratelimit-reset',
        reset,
        'ratelimit-policy',
        policyHeader(meter.policy, table),
        'ratelimit',
        `"${meter.policy}-${WINDOW_NAMES[window]}";r=${left};t=${reset}`,
      );
    },
    retryAfterSeconds: (spent: Spent) => secondsLeft(spent.window, nowSeconds()),
    /** Which of two to show: a refused one, else the one with the smaller share left. */
    tighter(a: Spent, b: Spent): Spent {
      return share(b) < share(a) ? b : a;
    },
  };
}

export type Quota = ReturnType<typeof createQuota>;

function share({ meter, limits, window, refused }: Spent): number {
  return refused ? -1 : remaining(meter, limits, window) / (limits[window] as number);
}

const policyHeaders = new WeakMap<Limits, string>();

/** The policies of a request (draft-ietf-httpapi-ratelimit-headers). Built once for a table of limits. */
function policyHeader(policy: PolicyName, limits: Limits): string {
  let header = policyHeaders.get(limits);
  if (header === undefined) {
    header = limits.map((limit, i) => `"${policy}-${WINDOW_NAMES[i]}";q=${limit};w=${WINDOW_SECONDS[i]}`).join(', ');
    policyHeaders.set(limits, header);
  }
  return header;
}

type Tables = Record<PolicyName, Record<Plan, Limits>>;

function tables(
  limits: Record<PolicyName, Limits>,
  factors: Record<Plan, number>,
): Record<'normal' | 'degraded', Tables> {
  const times = ([minute, hour, day]: Limits, factor: number): Limits => [
    Math.max(1, Math.floor(minute * factor)),
    Math.max(1, Math.floor(hour * factor)),
    Math.max(1, Math.floor(day * factor)),
  ];
  const byPlan = (policy: PolicyName, share: number): Record<Plan, Limits> => {
    // An address has no plan: behind it may be many customers.
    const factor = (plan: Plan) => share * (policy === 'address' ? 1 : factors[plan]);
    return {
      free: times(limits[policy], factor('free')),
      pro: times(limits[policy], factor('pro')),
      enterprise: times(limits[policy], factor('enterprise')),
    };
  };
  const all = (share: number): Tables => ({
    address: byPlan('address', share),
    user: byPlan('user', share),
    key: byPlan('key', share),
  });
  return { normal: all(1), degraded: all(0.5) };
}
