import type { Plan } from '@gatehouse/contracts/identity';
import { PLAN_LIMITS } from '@gatehouse/contracts/plans';
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
  WINDOWS,
  type Window,
} from './meters.ts';

const METERS_MAX = 100_000;

/** The policies whose limits are settings; an organization's is its plan's. */
type SetPolicy = Exclude<PolicyName, 'org'>;

export interface QuotaSettings {
  limits: Record<SetPolicy, Limits>;
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
 * Limits of volume by address, user, key and organization. Counted here, so exact within a process and without a round trip; shared
 * through Redis ten times a second. While Redis is away every gateway counts alone, to half of each limit: it cannot
 * know what the others let through. What a plan promises stays whole: it was bought, and guards nothing.
 */
export function createQuota({ limits, planFactors, exchange, nowSeconds }: Options) {
  // One memory a policy: a subject is looked up as it is, without a string made for the question.
  const meters = {
    address: createRecent<Meter>(METERS_MAX),
    user: createRecent<Meter>(METERS_MAX),
    key: createRecent<Meter>(METERS_MAX),
    org: createRecent<Meter>(METERS_MAX),
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
      const size = meter.windows[window] as Window;
      const reset = String(secondsLeft(size, nowSeconds()));
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
        `"${meter.policy}-${size.size.name}";r=${left};t=${reset}`,
      );
    },
    retryAfterSeconds: ({ meter, window }: Spent) => secondsLeft(meter.windows[window] as Window, nowSeconds()),
    /** Whether a refusal is the first of its minute: a flood of them is one event. */
    isNews({ meter }: Spent): boolean {
      const minute = Math.floor(nowSeconds() / 60);
      const news = meter.refusalRecordedIn !== minute;
      meter.refusalRecordedIn = minute;
      return news;
    },
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
    header = WINDOWS[policy]
      .map(({ name, seconds }, i) => `"${policy}-${name}";q=${limits[i]};w=${seconds}`)
      .join(', ');
    policyHeaders.set(limits, header);
  }
  return header;
}

type Tables = Record<PolicyName, Record<Plan, Limits>>;

function tables(
  limits: Record<SetPolicy, Limits>,
  factors: Record<Plan, number>,
): Record<'normal' | 'degraded', Tables> {
  const times = (policy: SetPolicy, factor: number): Limits =>
    limits[policy].map((limit) => Math.max(1, Math.floor(limit * factor)));
  const byPlan = (make: (plan: Plan) => Limits): Record<Plan, Limits> => ({
    free: make('free'),
    pro: make('pro'),
    enterprise: make('enterprise'),
  });
  const all = (share: number): Tables => ({
    // An address has no plan: behind it may be many customers.
    address: byPlan(() => times('address', share)),
    user: byPlan((plan) => times('user', share * factors[plan])),
    key: byPlan((plan) => times('key', share * factors[plan])),
    org: byPlan((plan) => [PLAN_LIMITS[plan].requests_per_day]),
  });
  return { normal: all(1), degraded: all(0.5) };
}
