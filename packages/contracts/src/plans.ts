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
