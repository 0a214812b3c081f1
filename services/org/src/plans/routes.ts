import { Plan } from '@gatehouse/contracts/identity';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { getBilling } from './billing.ts';

const Count = z.int().nonnegative();
const things = { members: Count, invitations: Count, api_keys: Count };

const Billing = z.object({
  plan: Plan,
  limits: z.object({ ...things, requests_per_day: Count }),
  used: z.object({
    ...things,
    requests_today: Count.nullable().describe('Since midnight UTC; null while it cannot be read'),
  }),
});

export function planRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/billing',
      summary: 'The plan of an organization, its limits and what of them is used',
      permission: 'billing:read',
      answers: { 200: Billing },
      errors: ['org.not_found'],
      handle: ({ org }) => getBilling(deps, org.id),
    }),
  ];
}
