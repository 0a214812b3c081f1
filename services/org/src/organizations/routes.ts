import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { Organization, OwnOrganization } from './organization.ts';
import {
  createOrganization,
  deleteOrganization,
  getOrganization,
  listOwnOrganizations,
  updateOrganization,
} from './organizations.ts';
import { Slug } from './slug.ts';

const Name = line(100);
const Changes = z
  .strictObject({ name: Name.optional(), slug: Slug.optional() })
  .refine(({ name, slug }) => name !== undefined || slug !== undefined, 'must change something');

export function organizationRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/orgs',
      summary: 'List the organizations you belong to',
      permission: 'user',
      query: Page,
      answers: { 200: pageOf(OwnOrganization) },
      handle: ({ actor, query }) => listOwnOrganizations(deps, actor, query),
    }),
    endpoint({
      post: '/api/orgs',
      summary: 'Found an organization and become its owner',
      description: 'Without a `slug` one is made from the name. A user may found a bounded number of organizations.',
      permission: 'user',
      body: z.strictObject({ name: Name, slug: Slug.optional() }),
      answers: { 201: Organization },
      errors: ['org.limit_reached', 'org.slug_taken'],
      handle: ({ actor, body }) => createOrganization(deps, actor, body),
    }),
    endpoint({
      get: '/api/org/:org_id',
      summary: 'Read an organization',
      permission: 'organization:read',
      answers: { 200: Organization },
      errors: ['org.not_found'],
      handle: ({ org }) => getOrganization(deps, org.id),
    }),
    endpoint({
      patch: '/api/org/:org_id',
      summary: 'Change the name or the short name of an organization',
      permission: 'organization:write',
      body: Changes,
      answers: { 200: Organization },
      errors: ['org.not_found', 'org.slug_taken', 'org.suspended'],
      handle: ({ actor, body }) => updateOrganization(deps, actor, body),
    }),
    endpoint({
      delete: '/api/org/:org_id',
      summary: 'Delete an organization',
      description:
        'Its members and API keys lose it at once. For thirty days a platform admin can bring it back; then it is ' +
        'removed with everything in it.',
      permission: 'organization:delete',
      fresh: true,
      answers: { 204: z.void() },
      errors: ['org.not_found', 'org.suspended'],
      handle: ({ actor }) => deleteOrganization(deps, actor),
    }),
  ];
}
