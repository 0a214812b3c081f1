import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { changePassword } from './change.ts';
import { Password } from './passwords.ts';

export function passwordRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/password/change',
      summary: 'Change the own password',
      description:
        'This session goes on; all others end, with every link, code, trusted device and change under way. An account ' +
        'without a password gets one by /api/auth/password/forgot.',
      permission: 'user',
      fresh: true,
      body: z.strictObject({ current_password: Password, new_password: Password }),
      answers: { 204: z.void() },
      errors: ['auth.invalid_credentials', 'auth.reauth_required', 'auth.session_ended', 'overloaded', 'rate_limited'],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body }) => changePassword(deps, actor, body),
    }),
  ];
}
