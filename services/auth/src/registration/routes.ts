import { OrgRole } from '@gatehouse/contracts/permissions';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { AppError } from '@gatehouse/kit/errors';
import { Id } from '@gatehouse/kit/ids';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import { EmailAddress, StoredEmail } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { Password } from '../passwords/passwords.ts';
import { registerByAdmin } from './by-admin.ts';
import { confirmAddress, resendConfirmation } from './confirmation.ts';
import { registerInvited } from './invited.ts';
import { registerOpenly } from './open.ts';

const POST = '/api/auth/register';
const Token = z.string().min(1).max(256);
const person = { name: line(100), password: Password };
const fields = { email: EmailAddress, ...person };
const bodyLimit = 16 * 1024;
const MailSent = z.object({ status: z.literal('mail_sent') });

/** Registration as the deployment wants it, one of three endpoints at the same path; by invitation always. */
export function registrationRoutes(deps: Deps): Endpoint[] {
  const modes = { admin: byAdmin, open: openly, invite: inviteOnly };
  return [modes[deps.config.REGISTRATION_MODE](deps), byInvitation(deps), confirmation(deps), resending(deps)];
}

function memberOf<R extends z.ZodType>(role: R) {
  return z.object({
    user: z.object({ id: z.uuid(), email: StoredEmail, name: z.string(), role, org_id: z.uuid() }),
  });
}

function byAdmin(deps: Deps): Endpoint {
  return endpoint({
    post: POST,
    summary: 'Create an account as viewer of an organization; for its owners and admins',
    permission: 'user',
    body: z.strictObject({ ...fields, org_id: Id }),
    answers: { 201: memberOf(z.literal('viewer')) },
    errors: [
      'access.denied',
      'auth.account_taken',
      'auth.second_factor_required',
      'org.domain_refused',
      'org.member_limit_reached',
      'org.not_found',
      'org.session_too_old',
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
    description:
      'The answer is the same for every address, also for one that has an account. Whoever registered signs in at once ' +
      'as a guest, who reads and confirms; the link of the mail makes the account, with the password of its ' +
      'registration, and ends all guests of the address. What nobody confirms is deleted after seven days.',
    permission: 'public',
    body: z.strictObject(fields),
    answers: { 202: MailSent },
    errors: ['overloaded', 'rate_limited'],
    bodyLimit,
    async handle({ actor, body }) {
      await registerOpenly(deps, actor, body);
      return { status: 'mail_sent' };
    },
  });
}

const byInvitationErrors = [
  'auth.account_taken',
  'invitation.not_valid',
  'invitation.void',
  'org.domain_refused',
  'org.member_limit_reached',
  'overloaded',
  'rate_limited',
] as const;

function inviteOnly(deps: Deps): Endpoint {
  return endpoint({
    post: POST,
    summary: 'Register with an invitation; without one nobody does',
    permission: 'public',
    // Both optional, so that whoever registers as in another mode is told what is missing.
    body: z.strictObject({ ...person, email: EmailAddress.optional(), invitation_token: Token.optional() }).meta({
      example: { name: 'Vera', password: 'a passphrase of four words', invitation_token: 'the token of the mail' },
    }),
    answers: { 201: memberOf(OrgRole) },
    errors: [...byInvitationErrors, 'registration.invitation_required'],
    bodyLimit,
    handle: ({ actor, body: { invitation_token, email, ...about } }) => {
      if (invitation_token === undefined) throw new AppError('registration.invitation_required');
      if (email !== undefined)
        throw new AppError('request.invalid', undefined, {
          details: [{ pointer: '/email', message: 'is that of the invitation' }],
        });
      return registerInvited(deps, actor, { ...about, invitation_token });
    },
  });
}

function byInvitation(deps: Deps): Endpoint {
  return endpoint({
    post: `${POST}/invited`,
    summary: 'Create an account with the token of an invitation, in every mode',
    description:
      'The account has the address that the invitation was sent to, confirmed, and belongs to the organization at ' +
      'once. Whoever has an account signs in with it and accepts there: 409 auth.account_taken, which only the holder ' +
      'of the token is told.',
    permission: 'public',
    body: z.strictObject({ ...person, invitation_token: Token }),
    answers: { 201: memberOf(OrgRole) },
    errors: byInvitationErrors,
    bodyLimit,
    handle: ({ actor, body }) => registerInvited(deps, actor, body),
  });
}

function confirmation(deps: Deps): Endpoint {
  return endpoint({
    post: '/api/auth/email/verify',
    summary: 'Confirm an address with the token from the mail',
    description: 'Sessions that were opened before end. Of several registrations the one whose link is used counts.',
    permission: 'public',
    body: z.strictObject({ token: Token }),
    answers: { 204: z.void() },
    errors: ['auth.token_refused'],
    bodyLimit,
    handle: ({ actor, body }) => confirmAddress(deps, actor, body.token),
  });
}

function resending(deps: Deps): Endpoint {
  return endpoint({
    post: '/api/auth/email/resend',
    summary: 'Ask for another mail to confirm an address',
    description:
      'The answer is the same for every address. A mail goes to one that is not confirmed, three an hour at most over ' +
      'everything that sends mails to it.',
    permission: 'public',
    body: z.strictObject({ email: EmailAddress }),
    answers: { 202: MailSent },
    errors: ['rate_limited'],
    bodyLimit,
    async handle({ actor, body }) {
      await resendConfirmation(deps, actor, body.email);
      return { status: 'mail_sent' };
    },
  });
}
