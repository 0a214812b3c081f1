import { Plan } from '@gatehouse/contracts/identity';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { Organization, Status } from '../organizations/organization.ts';
import { administerOrganization, listAllOrganizations } from './platform.ts';

const Filter = Page.extend({ status: Status.optional(), q: line(100).optional() });
const Decision = z
  .strictObject({ status: z.enum(['active', 'suspended']).optional(), plan: Plan.optional(), reason: line(500) })
  .refine(({ status, plan }) => status !== undefined || plan !== undefined, 'must change status or plan');

export function platformRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/platform/organizations',
      summary: 'List all organizations',
      description: '`q` is looked for as it is, whatever its letter case, in name and short name.',
      permission: 'platform_admin',
      query: Filter,
      answers: { 200: pageOf(Organization) },
      handle: ({ query }) => listAllOrganizations(deps, query),
    }),
    endpoint({
      patch: '/api/platform/organizations/:org_id',
      summary: 'Suspend an organization, let it work again, or change its plan',
      permission: 'platform_admin',
      params: z.strictObject({ org_id: z.uuid() }),
      body: Decision,
      answers: { 200: Organization },
      errors: ['org.not_found'],
      handle: ({ actor, params, body }) => administerOrganization(deps, actor, params.org_id, body),
    }),
  ];
}
