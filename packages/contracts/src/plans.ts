import type { Plan } from './identity.ts';

/** What an organization of a plan may have. */
export interface PlanLimits {
  members: number;
  /** Invitations that are open at a time. */
  invitations: number;
  api_keys: number;
  /** Requests of the whole organization in a day, by UTC. */
  requests_per_day: number;
}

/** The limits of each plan: org holds the numbers, the gateway the requests. */
export const PLAN_LIMITS: Readonly<Record<Plan, PlanLimits>> = {
  free: { members: 10, invitations: 10, api_keys: 10, requests_per_day: 10_000 },
  pro: { members: 100, invitations: 100, api_keys: 50, requests_per_day: 1_000_000 },
  enterprise: { members: 10_000, invitations: 1_000, api_keys: 500, requests_per_day: 50_000_000 },
};

const SECONDS_PER_DAY = 86_400;

/**
 * Redis key of what an organization has asked on a day (UTC). A hash: each gateway keeps its own count in a field of
 * its own, and the sum of the values is the count, a tenth of a second late at most.
 */
export function requestsKey(orgId: string, secondsSinceEpoch: number): string {
  const midnight = Math.floor(secondsSinceEpoch / SECONDS_PER_DAY) * SECONDS_PER_DAY;
  return `quota:org:${orgId}:${new Date(midnight * 1000).toISOString().slice(0, 10)}`;
}
