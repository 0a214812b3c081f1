import { AuthenticationMethod } from '@gatehouse/contracts/identity';
import { type Endpoint, endpoint, reply } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { clearCookie } from '../cookies.ts';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import { COOKIES_TOLD, presentedToken, withoutCookie, withTokens } from './cookie-mode.ts';
import { endAllOwnSessions } from './end-all.ts';
import { logoutByAny } from './logout.ts';
import { notMe } from './not-me.ts';
import { refresh } from './refresh.ts';
import { listSessions, revokeSession, Tokens } from './sessions.ts';

const Session = z.object({
  id: z.uuid(),
  /** The session that asks. */
  current: z.boolean(),
  /** The name of what it was opened on, such as "Firefox on Linux". */
  device: z.string(),
  /** Null when that device was forgotten. */
  device_id: z.uuid().nullable(),
  /** What was proved when it was opened, or since. */
  amr: z.array(AuthenticationMethod),
  /** When that was. */
  authenticated_at: StoredTime,
  /** Where it was last refreshed from. */
  address: z.string(),
  created_at: StoredTime,
  last_used_at: StoredTime,
  /** When it ends unless it is used before. */
  idle_expires_at: StoredTime,
  /** When it ends at the latest. */
  expires_at: StoredTime,
});

const COOKIE_RULES =
  'A session in a cookie: send the cookie with an Origin that is named in the settings, the header ' +
  '`x-requested-with: gatehouse` and `content-type: application/json`.';

export function sessionRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/refresh',
      summary: 'Exchange a refresh token for new tokens',
      description:
        'Every token is good for one exchange. The same one again within the grace period gets the same answer; later ' +
        'or older ones end the session, because somebody else has a copy. The token comes in the body or, for a ' +
        `session that is kept there, in its cookie, and its successor goes where it came from. ${COOKIE_RULES}`,
      permission: 'public',
      body: z.strictObject({ refresh_token: z.string().max(4096).optional() }),
      answers: { 200: Tokens.meta(COOKIES_TOLD) },
      errors: ['auth.origin_refused', 'auth.refresh_refused', 'auth.session_ended', 'auth.session_expired'],
      bodyLimit: 16 * 1024,
      async handle({ actor, body, headers }) {
        const { token, mode } = presentedToken(deps, headers, body.refresh_token);
        try {
          const { tokens, session } = await refresh(deps, actor, token);
          const lifeMs = session.expires_at.getTime() - deps.clock().getTime();
          return withTokens(tokens, [], { ...mode, lifeMs });
        } catch (error) {
          throw withoutCookie(error, mode);
        }
      },
    }),
    endpoint({
      post: '/api/auth/logout',
      summary: 'End this session',
      description: `The session of the access token or, without one, that of the cookie, which is cleared. ${COOKIE_RULES}`,
      permission: 'public',
      answers: {
        204: z.void().meta({ headers: { 'Set-Cookie': 'Takes the cookie of the session back, where there is one.' } }),
      },
      errors: ['auth.origin_refused', 'auth.session_ended'],
      async handle({ actor, headers }) {
        const { cookie } = await logoutByAny(deps, actor, headers);
        return reply(204, undefined, cookie ? { 'set-cookie': clearCookie('refresh') } : {});
      },
    }),
    endpoint({
      post: '/api/auth/sessions/not-me',
      summary: 'Say that a sign-in was not yours',
      description:
        'With the token from the mail about a new device. Whoever signed in has the password: every session ends, no ' +
        'device is trusted any more, links and codes that were sent are worthless, and the next sign-in asks for a ' +
        'new password, for which a mail is sent at once.',
      permission: 'public',
      body: z.strictObject({ token: z.string().max(256) }),
      answers: { 200: z.object({ password_reset_required: z.literal(true) }) },
      errors: ['auth.token_refused'],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body }) => notMe(deps, actor, body.token),
    }),
    endpoint({
      get: '/api/auth/sessions',
      summary: 'List your sessions',
      description: 'Those that live, the newest first, with what each was opened on and what was proved for it.',
      permission: 'user',
      answers: { 200: z.object({ data: z.array(Session) }) },
      handle: ({ actor }) => listSessions(deps, actor),
    }),
    endpoint({
      delete: '/api/auth/sessions',
      summary: 'End all your sessions, this one included',
      description: 'Effective everywhere within a second. Sign-ins that wait for a second factor end too.',
      permission: 'user',
      guests: true,
      answers: { 204: z.void() },
      handle: ({ actor }) => endAllOwnSessions(deps, actor),
    }),
    endpoint({
      delete: '/api/auth/sessions/:session_id',
      summary: 'End one of your sessions',
      description: 'Effective everywhere within a second.',
      permission: 'user',
      guests: true,
      params: z.strictObject({ session_id: z.uuid() }),
      answers: { 204: z.void() },
      errors: ['auth.session_not_found'],
      handle: ({ actor, params }) => revokeSession(deps, actor, params.session_id),
    }),
  ];
}
