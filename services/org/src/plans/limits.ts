import type { Plan } from '@gatehouse/contracts/identity';
import { PLAN_LIMITS, type PlanLimits } from '@gatehouse/contracts/plans';

/** What an organization of a plan may have. What SQL decides it reads from org.plan_limits, which holds the same. */
export function limitsOf(plan: Plan): PlanLimits {
  return PLAN_LIMITS[plan];
}
