import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Id } from '@gatehouse/kit/ids';
import { Page, pageOf } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { changeRole, leaveOrganization, listMembers, Member, removeMember } from './members.ts';
import { transferOwnership } from './ownership.ts';
import { Membership } from './store.ts';

const UserId = z.strictObject({ user_id: Id });

export function memberRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/members',
      summary: 'List the members of an organization',
      permission: 'members:read',
      query: Page,
      answers: { 200: pageOf(Member) },
      handle: ({ org, query }) => listMembers(deps, org.id, query),
    }),
    endpoint({
      patch: '/api/org/:org_id/members/:user_id',
      summary: 'Change the role of a member, never above your own',
      description: 'To make somebody an owner takes a proof of who you are that is not older than ten minutes.',
      permission: 'members:write',
      params: UserId,
      body: z.strictObject({ role: OrgRole }),
      answers: { 200: Membership },
      errors: [
        'auth.reauth_required',
        'org.last_owner',
        'org.member_not_found',
        'org.owner_required',
        'org.role_above_own',
        'org.suspended',
      ],
      handle: ({ actor, params, body }) => changeRole(deps, actor, params.user_id, body.role),
    }),
    endpoint({
      delete: '/api/org/:org_id/members/:user_id',
      summary: 'Remove a member; an organization keeps at least one owner',
      permission: 'members:write',
      params: UserId,
      answers: { 204: z.void() },
      errors: ['org.last_owner', 'org.member_not_found', 'org.owner_required', 'org.suspended'],
      handle: ({ actor, params }) => removeMember(deps, actor, params.user_id),
    }),
    endpoint({
      post: '/api/org/:org_id/leave',
      summary: 'Leave an organization; its last owner cannot',
      permission: 'organization:read',
      answers: { 204: z.void() },
      errors: ['org.last_owner', 'org.member_not_found', 'org.suspended'],
      handle: ({ actor }) => leaveOrganization(deps, actor),
    }),
    endpoint({
      post: '/api/org/:org_id/transfer-ownership',
      summary: 'Hand the organization over to another member',
      description:
        'The member becomes an owner and you become an admin, both at once. A platform admin who is no owner appoints ' +
        'one this way, and no other owner changes.',
      permission: 'organization:transfer',
      fresh: true,
      body: UserId,
      answers: { 200: Membership },
      errors: ['conflict', 'org.member_not_found', 'org.suspended'],
      handle: ({ actor, body }) => transferOwnership(deps, actor, body.user_id),
    }),
  ];
}
