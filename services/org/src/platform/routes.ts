import { Plan } from '@gatehouse/contracts/identity';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Id } from '@gatehouse/kit/ids';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { Organization, Status } from '../organizations/organization.ts';
import { administerOrganization, listAllOrganizations } from './platform.ts';

const Filter = Page.extend({ status: Status.optional(), q: line(100).optional() });
const Decision = z
  .strictObject({
    status: z.enum(['active', 'suspended']).optional(),
    plan: Plan.optional(),
    owner_id: Id.optional(),
    reason: line(500),
  })
  .refine(
    ({ status, plan, owner_id }) => status !== undefined || plan !== undefined || owner_id !== undefined,
    'must change status, plan or owner',
  );

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
      description:
        'A deleted organization can be brought back for thirty days. `owner_id` makes a member an owner: needed where ' +
        'the last one went with the account.',
      permission: 'platform_admin',
      fresh: true,
      params: z.strictObject({ org_id: z.uuid() }),
      body: Decision,
      answers: { 200: Organization },
      errors: ['org.last_owner', 'org.member_not_found', 'org.not_found'],
      handle: ({ actor, params, body }) => administerOrganization(deps, actor, params.org_id, body),
    }),
  ];
}
