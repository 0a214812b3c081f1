import type { IncomingHttpHeaders } from 'node:http';
import type { PlatformRole } from '@gatehouse/contracts/identity';
import { type Reply, reply } from '@gatehouse/kit/endpoint';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import { clearCookie, readCookie, writeCookie } from '../cookies.ts';
import type { Deps } from '../deps.ts';
import { limitsOf, type Tokens } from './sessions.ts';

/** In the body of a sign-in: keep the refresh token in a cookie that no script can read, and out of the answer. */
export const SessionWish = z.literal('cookie').optional();

/** What the API reference says of the cookies that come with tokens: `.meta()` of such an answer. */
export const COOKIES_TOLD = {
  headers: {
    'Set-Cookie':
      '`__Host-gatehouse_device` knows the device again; with `"session": "cookie"` also ' +
      '`__Host-gatehouse_refresh`, the refresh token, which is then absent from the body. Secure, HttpOnly, ' +
      'SameSite=Strict, for the whole host.',
  },
};

/** How a client is given its refresh token; made by `sessionMode` alone, which checks that it may have it so. */
export interface SessionMode {
  readonly cookie: boolean;
}

const LOCALHOST = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;
const JSON_TYPE = /^application\/json\b/i;

/**
 * Throws `auth.origin_refused` unless the request comes from a script of ours: from an origin that is named in the
 * settings, with a header and a type that no other site's page can send without being asked for leave first.
 */
export function assertOwnScript({ config }: Pick<Deps, 'config'>, headers: IncomingHttpHeaders): void {
  const origin = headers.origin ?? '';
  const named = origin === new URL(config.PUBLIC_URL).origin || config.CORS_ORIGINS.includes(origin);
  const local = config.ENVIRONMENT === 'development' && LOCALHOST.test(origin);
  if (!named && !local) throw new AppError('auth.origin_refused', 'Cookies count for pages of named origins only.');
  if (headers['x-requested-with'] !== 'gatehouse')
    throw new AppError('auth.origin_refused', 'With a cookie, send the header x-requested-with: gatehouse.');
  if (!JSON_TYPE.test(headers['content-type'] ?? ''))
    throw new AppError('auth.origin_refused', 'With a cookie, send content-type: application/json.');
}

/** How a sign-in is to be answered. Throws `auth.origin_refused` where no cookie may be set. */
export function sessionMode(
  deps: Pick<Deps, 'config'>,
  headers: IncomingHttpHeaders,
  wish: z.infer<typeof SessionWish>,
): SessionMode {
  if (wish !== 'cookie') return { cookie: false };
  assertOwnScript(deps, headers);
  return { cookie: true };
}

interface SignInBody extends Partial<Tokens> {
  user?: { role: PlatformRole };
}

/** The reply of a sign-in. One that still waits for a second factor sets no cookie of a session. */
export function tokenAnswer(
  deps: Pick<Deps, 'config'>,
  body: object,
  cookies: readonly string[],
  mode: SessionMode,
): Reply {
  const { user } = body as SignInBody;
  return withTokens(body, cookies, { ...mode, lifeMs: limitsOf(deps, user?.role ?? 'user').absoluteMs });
}

/** A reply with tokens; of a session in a cookie that lives as long as the session may, the refresh token is there. */
export function withTokens(
  body: object,
  cookies: readonly string[],
  { cookie, lifeMs }: SessionMode & { lifeMs: number },
): Reply {
  const { refresh_token, ...rest } = body as SignInBody;
  if (!cookie || refresh_token === undefined) return reply(200, body, setCookies(cookies));
  return reply(200, rest, setCookies([...cookies, refreshCookie(refresh_token, lifeMs)]));
}

export function readRefreshCookie(headers: IncomingHttpHeaders): string | undefined {
  return readCookie(headers, 'refresh') || undefined;
}

/**
 * The refresh token of a request, from its body or its cookie. Both at once must be the same: of two different ones
 * there is no telling which is meant. Throws `request.invalid` or, for a cookie, `auth.origin_refused`.
 */
export function presentedToken(deps: Pick<Deps, 'config'>, headers: IncomingHttpHeaders, given: string | undefined) {
  const cookie = readRefreshCookie(headers);
  const token = cookie ?? given;
  if (token === undefined || (given !== undefined && given !== token))
    throw new AppError('request.invalid', undefined, {
      details: [
        { pointer: '/refresh_token', message: token === undefined ? 'is required' : 'is not the one in the cookie' },
      ],
    });
  if (cookie !== undefined) assertOwnScript(deps, headers);
  return { token, mode: { cookie: cookie !== undefined } satisfies SessionMode };
}

/** The same refusal, with the cookie taken back when it is what does not count any more. */
export function withoutCookie(error: unknown, { cookie }: SessionMode): unknown {
  if (!cookie || !(error instanceof AppError) || error.status !== 401) return error;
  return new AppError(error.code, error.message, {
    cause: error,
    headers: { ...error.headers, 'set-cookie': clearCookie('refresh') },
  });
}

// Never 0, which takes a cookie back.
function refreshCookie(token: string, lifeMs: number): string {
  return writeCookie('refresh', token, Math.max(1, Math.floor(lifeMs / 1000)));
}

function setCookies(cookies: readonly string[]): Record<string, string[]> {
  return cookies.length > 0 ? { 'set-cookie': [...cookies] } : {};
}
