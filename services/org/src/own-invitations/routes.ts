import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import {
  acceptById,
  acceptByToken,
  declineInvitation,
  listOwnInvitations,
  previewInvitation,
} from './own-invitations.ts';
import { OwnInvitation } from './store.ts';

const InvitationId = z.strictObject({ invitation_id: z.uuid() });
const Token = z.strictObject({ token: z.string().max(1024) });
const Membership = z.object({ org_id: z.uuid(), role: OrgRole });

const ACCEPTING = [
  'invitation.not_valid',
  'invitation.void',
  'org.domain_refused',
  'org.member_exists',
  'org.member_limit_reached',
] as const;

/** For those who are invited. */
export function ownInvitationRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/invitations',
      summary: 'List the open invitations to your confirmed address',
      permission: 'user',
      query: Page,
      answers: { 200: pageOf(OwnInvitation) },
      handle: ({ actor, query }) => listOwnInvitations(deps, actor, query),
    }),
    endpoint({
      post: '/api/invitations/preview',
      summary: 'What an invitation link offers, before it is accepted',
      description:
        'With `account_needed` the invited address has no account yet: register with the same token at ' +
        '/api/auth/register/invited. Else sign in and accept.',
      permission: 'public',
      body: Token,
      answers: {
        200: z.object({
          organization: z.string(),
          role: OrgRole,
          email: z.string().describe('The invited address, masked'),
          account_needed: z.boolean(),
          expires_at: z.iso.datetime(),
        }),
      },
      errors: ['invitation.not_valid'],
      handle: ({ body }) => previewInvitation(deps, body.token),
    }),
    endpoint({
      post: '/api/invitations/accept',
      summary: 'Accept an invitation by the token of its link',
      description: 'The invitation must be to the confirmed address of your account.',
      permission: 'user',
      body: Token,
      answers: { 200: Membership },
      errors: ['invitation.other_address', ...ACCEPTING],
      handle: ({ actor, body }) => acceptByToken(deps, actor, body.token),
    }),
    endpoint({
      post: '/api/invitations/:invitation_id/accept',
      summary: 'Accept an invitation from your list',
      permission: 'user',
      params: InvitationId,
      answers: { 200: Membership },
      errors: ['invitation.not_found', ...ACCEPTING],
      handle: ({ actor, params }) => acceptById(deps, actor, params.invitation_id),
    }),
    endpoint({
      post: '/api/invitations/:invitation_id/decline',
      summary: 'Decline an invitation',
      permission: 'user',
      params: InvitationId,
      answers: { 204: z.void() },
      errors: ['invitation.not_found', 'invitation.not_valid'],
      handle: ({ actor, params }) => declineInvitation(deps, actor, params.invitation_id),
    }),
  ];
}
