import { EmailDomain } from '@gatehouse/kit/email';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { changePolicies, readPolicies } from './policies.ts';
import { Policies } from './store.ts';

const DOMAINS_MAX = 50;
const SESSION_MAX_SECONDS = { min: 15 * 60, max: 30 * 86_400 };
const RETENTION_DAYS = { min: 30, max: 3650 };

const Changes = z
  .strictObject({
    require_second_factor: z.boolean(),
    allowed_domains: z
      .array(EmailDomain)
      .max(DOMAINS_MAX)
      .transform((domains) => [...new Set(domains)].sort()),
    session_max_seconds: z.int().min(SESSION_MAX_SECONDS.min).max(SESSION_MAX_SECONDS.max).nullable(),
    retention_days: z.int().min(RETENTION_DAYS.min).max(RETENTION_DAYS.max).nullable(),
  })
  .partial()
  .refine((wish) => Object.values(wish).some((value) => value !== undefined), 'must change something');

export function policyRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/policies',
      summary: 'Read the policies of an organization',
      permission: 'policies:read',
      answers: { 200: Policies },
      errors: ['org.not_found'],
      handle: ({ org }) => readPolicies(deps, org.id),
    }),
    endpoint({
      patch: '/api/org/:org_id/policies',
      summary: 'Change the policies of an organization; what is not named stays',
      description:
        '`require_second_factor`: its members act for it only when they signed in with a second factor; to switch it ' +
        'on, so must you have. `allowed_domains`: mail domains of those who are invited or admitted from now on, ' +
        'exactly as named; none stands for any. `session_max_seconds`: how long after a sign-in one may act for the ' +
        'organization, 15 minutes to 30 days; null for as long as the session lasts. `retention_days`: how long ended ' +
        'invitations and dead API keys are kept, 30 to 3650 days; null for 90.',
      permission: 'policies:write',
      fresh: true,
      body: Changes,
      answers: { 200: Policies },
      errors: ['auth.second_factor_required', 'org.not_found', 'org.suspended'],
      handle: ({ actor, body }) => changePolicies(deps, actor, body),
    }),
  ];
}
