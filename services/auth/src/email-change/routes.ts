import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { cancelEmailChange, confirmEmailChange, requestEmailChange } from './email-change.ts';

const bodyLimit = 16 * 1024;

export function emailChangeRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/email/change',
      summary: 'Change the own address',
      description:
        'A link goes to the old address and to the new one; the change counts once both were used, within half an ' +
        'hour. The answer is the same when somebody has the new address. A newer wish replaces an older one.',
      permission: 'user',
      fresh: true,
      body: z.strictObject({ new_email: EmailAddress }),
      answers: { 202: z.object({ status: z.literal('mail_sent') }) },
      errors: ['auth.reauth_required', 'auth.session_ended', 'rate_limited'],
      bodyLimit,
      async handle({ actor, body }) {
        await requestEmailChange(deps, actor, body.new_email);
        return { status: 'mail_sent' };
      },
    }),
    endpoint({
      post: '/api/auth/email/change/confirm',
      summary: 'Confirm a change of address with the token from one of the two mails',
      description:
        'waiting: the other address has to confirm as well. changed: both have; the old address is told, and all ' +
        'sessions but the one that asked for the change end.',
      permission: 'public',
      body: z.strictObject({ token: z.string().min(1).max(256) }),
      answers: { 200: z.object({ status: z.enum(['waiting', 'changed']) }) },
      errors: ['auth.account_taken', 'auth.token_refused'],
      bodyLimit,
      handle: ({ actor, body }) => confirmEmailChange(deps, actor, body.token),
    }),
    endpoint({
      delete: '/api/auth/email/change',
      summary: 'Give up a change of the own address that still waits',
      permission: 'user',
      answers: { 204: z.void() },
      handle: ({ actor }) => cancelEmailChange(deps, actor),
    }),
  ];
}
