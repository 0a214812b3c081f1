import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { Password } from '../passwords/passwords.ts';
import { requestReset, resetPassword } from './recovery.ts';

const bodyLimit = 16 * 1024;

export function recoveryRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/password/forgot',
      summary: 'Ask for a link that sets a new password',
      description:
        'The answer is the same for every address. One that has an account gets a mail, three an hour at most over ' +
        'everything that sends mails to it; its link is good once, for half an hour, and makes earlier ones useless.',
      permission: 'public',
      body: z.strictObject({ email: EmailAddress }),
      answers: { 202: z.object({ status: z.literal('mail_sent') }) },
      errors: ['rate_limited'],
      bodyLimit,
      async handle({ actor, body }) {
        await requestReset(deps, actor, body.email);
        return { status: 'mail_sent' };
      },
    }),
    endpoint({
      post: '/api/auth/password/reset',
      summary: 'Set a new password with the token from the mail',
      description:
        'Signs nobody in: the next sign-in asks for the second factor where there is one. Ends all sessions, links, ' +
        'codes, trusted devices and changes under way, and lifts a lock of the account.',
      permission: 'public',
      body: z.strictObject({ token: z.string().min(1).max(256), new_password: Password }),
      answers: { 204: z.void() },
      errors: ['auth.token_refused', 'overloaded'],
      bodyLimit,
      handle: ({ actor, body }) => resetPassword(deps, actor, body),
    }),
  ];
}
