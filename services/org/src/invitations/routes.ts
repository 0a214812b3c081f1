import { OrgRole } from '@gatehouse/contracts/permissions';
import { EmailAddress } from '@gatehouse/kit/email';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { invite, listInvitations, resend, withdraw } from './invitations.ts';
import { Invitation, InvitationStatus } from './store.ts';

const Offer = z.strictObject({ email: EmailAddress, role: OrgRole, note: line(500).optional() });
const Filter = Page.extend({ status: InvitationStatus.default('pending') });
const InvitationId = z.strictObject({ invitation_id: z.uuid() });

export function invitationRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/invitations',
      summary: 'List the invitations of an organization, newest first',
      description: 'The pending ones, unless another `status` is asked for.',
      permission: 'invitations:read',
      query: Filter,
      answers: { 200: pageOf(Invitation) },
      handle: ({ org, query }) => listInvitations(deps, org.id, query),
    }),
    endpoint({
      post: '/api/org/:org_id/invitations',
      summary: 'Invite somebody by mail, with a role up to your own',
      description:
        'The invitation can be accepted for seven days, as long as you may still give the role. An address has one ' +
        'pending invitation at a time and gets three of these mails an hour. To invite as owner takes a fresh proof.',
      permission: 'invitations:write',
      body: Offer,
      answers: { 201: Invitation },
      errors: [
        'auth.reauth_required',
        'invitation.limit_reached',
        'invitation.pending',
        'org.domain_refused',
        'org.member_exists',
        'org.role_above_own',
        'org.suspended',
        'rate_limited',
      ],
      handle: ({ actor, body }) => invite(deps, actor, body),
    }),
    endpoint({
      post: '/api/org/:org_id/invitations/:invitation_id/resend',
      summary: 'Send an invitation again; the link of the earlier mail is dead',
      description: 'It is then yours: it can be accepted for another seven days, as long as you may give the role.',
      permission: 'invitations:write',
      params: InvitationId,
      answers: { 200: Invitation },
      errors: [
        'auth.reauth_required',
        'invitation.limit_reached',
        'invitation.not_found',
        'invitation.not_valid',
        'org.domain_refused',
        'org.member_exists',
        'org.role_above_own',
        'org.suspended',
        'rate_limited',
      ],
      handle: ({ actor, params }) => resend(deps, actor, params.invitation_id),
    }),
    endpoint({
      delete: '/api/org/:org_id/invitations/:invitation_id',
      summary: 'Withdraw an invitation',
      permission: 'invitations:write',
      params: InvitationId,
      answers: { 204: z.void() },
      errors: ['invitation.not_found', 'invitation.not_valid', 'org.role_above_own', 'org.suspended'],
      handle: ({ actor, params }) => withdraw(deps, actor, params.invitation_id),
    }),
  ];
}
