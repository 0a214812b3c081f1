import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { unlock } from './locks.ts';

export function throttlingRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/unlock',
      summary: 'End the lock of an account with the link from its mail',
      description:
        'Takes the token of the mail that tells of too many failed sign-ins. It ends the lock and the delays of the account, once, and signs nobody in. It counts for 30 minutes.',
      permission: 'public',
      body: z.strictObject({ token: z.string().min(1).max(256) }),
      answers: { 204: z.void() },
      errors: ['auth.token_refused', 'rate_limited'],
      bodyLimit: 4 * 1024,
      handle: ({ actor, body }) => unlock(deps, actor, body.token),
    }),
  ];
}
