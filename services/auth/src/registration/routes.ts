import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { AppError } from '@gatehouse/kit/errors';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { Password } from '../passwords/passwords.ts';
import { registerByAdmin } from './by-admin.ts';
import { confirmAddress, registerOpenly } from './open.ts';

const POST = '/api/auth/register';
const fields = { email: EmailAddress, name: line(100), password: Password };
const bodyLimit = 16 * 1024;

/** Registration as the deployment wants it: one of three endpoints at the same path. */
export function registrationRoutes(deps: Deps): Endpoint[] {
  const modes = { admin: byAdmin, open: openly, invite: byInvitation };
  return [modes[deps.config.REGISTRATION_MODE](deps), confirmation(deps)];
}

function byAdmin(deps: Deps): Endpoint {
  return endpoint({
    post: POST,
    summary: 'Create an account as viewer of an organization; for its owners and admins',
    permission: 'user',
    body: z.strictObject({ ...fields, org_id: z.uuid() }),
    answers: {
      201: z.object({
        user: z.object({
          id: z.uuid(),
          email: z.string(),
          name: z.string(),
          role: z.literal('viewer'),
          org_id: z.uuid(),
        }),
      }),
    },
    errors: [
      'access.denied',
      'auth.account_taken',
      'org.domain_refused',
      'org.member_limit_reached',
      'org.not_found',
      'overloaded',
    ],
    bodyLimit,
    handle: ({ actor, body }) => registerByAdmin(deps, actor, body),
  });
}

function openly(deps: Deps): Endpoint {
  return endpoint({
    post: POST,
    summary: 'Register; a mail to the address tells how to go on',
    description: 'The answer is the same for every address, also for one that has an account.',
    permission: 'public',
    body: z.strictObject(fields),
    answers: { 202: z.object({ status: z.literal('mail_sent') }) },
    errors: ['overloaded', 'rate_limited'],
    bodyLimit,
    async handle({ actor, body }) {
      await registerOpenly(deps, actor, body);
      return { status: 'mail_sent' };
    },
  });
}

function byInvitation(_deps: Deps): Endpoint {
  return endpoint({
    post: POST,
    summary: 'Register with an invitation',
    permission: 'public',
    answers: { 202: z.void() },
    errors: ['registration.invitation_required'],
    handle: () => {
      throw new AppError('registration.invitation_required');
    },
  });
}

function confirmation(deps: Deps): Endpoint {
  return endpoint({
    post: '/api/auth/email/verify',
    summary: 'Confirm an address with the token from the mail',
    permission: 'public',
    body: z.strictObject({ token: z.string().min(1).max(256) }),
    answers: { 204: z.void() },
    errors: ['auth.token_refused'],
    bodyLimit,
    handle: ({ actor, body }) => confirmAddress(deps, actor, body.token),
  });
}
