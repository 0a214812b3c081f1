import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import { refresh } from './refresh.ts';
import { listSessions, logout, revokeAllSessions, revokeSession, Tokens } from './sessions.ts';

const Session = z.object({
  id: z.uuid(),
  /** The session that asks. */
  current: z.boolean(),
  device: z.string(),
  address: z.string(),
  created_at: StoredTime,
  last_used_at: StoredTime,
});

export function sessionRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/refresh',
      summary: 'Exchange a refresh token for new tokens',
      description:
        'Every token is good for one exchange. The same one again within the grace period gets the same answer; later ' +
        'or older ones end the session, because somebody else has a copy.',
      permission: 'public',
      body: z.strictObject({ refresh_token: z.string().max(4096) }),
      answers: { 200: Tokens },
      errors: ['auth.refresh_refused', 'auth.session_ended', 'auth.session_expired'],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body }) => refresh(deps, actor, body.refresh_token),
    }),
    endpoint({
      post: '/api/auth/logout',
      summary: 'End this session',
      permission: 'user',
      guests: true,
      answers: { 204: z.void() },
      errors: ['auth.session_ended'],
      handle: ({ actor }) => logout(deps, actor),
    }),
    endpoint({
      get: '/api/auth/sessions',
      summary: 'List the own sessions',
      permission: 'user',
      answers: { 200: z.object({ data: z.array(Session) }) },
      handle: ({ actor }) => listSessions(deps, actor),
    }),
    endpoint({
      delete: '/api/auth/sessions',
      summary: 'End all own sessions, this one included',
      permission: 'user',
      guests: true,
      answers: { 204: z.void() },
      handle: ({ actor }) => revokeAllSessions(deps, actor),
    }),
    endpoint({
      delete: '/api/auth/sessions/:session_id',
      summary: 'End one of the own sessions',
      permission: 'user',
      guests: true,
      params: z.strictObject({ session_id: z.uuid() }),
      answers: { 204: z.void() },
      errors: ['auth.session_not_found'],
      handle: ({ actor, params }) => revokeSession(deps, actor, params.session_id),
    }),
  ];
}
