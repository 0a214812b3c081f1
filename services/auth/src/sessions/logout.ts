import type { IncomingHttpHeaders } from 'node:http';
import type { Actor } from '@gatehouse/kit/actor';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import { decodeRefreshToken } from '../tokens/refresh-tokens.ts';
import { assertOwnScript, readRefreshCookie, type SessionMode, withoutCookie } from './cookie-mode.ts';
import { findSessionOfToken, logout } from './sessions.ts';

/** Ends the session of the access token or, without one, of the cookie. Tells whether a cookie is to be cleared. */
export async function logoutByAny(deps: Deps, actor: Actor, headers: IncomingHttpHeaders): Promise<SessionMode> {
  const token = readRefreshCookie(headers);
  const mode = { cookie: token !== undefined };
  const { kind, user_id, session_id } = actor;
  if (kind === 'user' && user_id !== undefined && session_id !== undefined) {
    const named = token === undefined ? undefined : decodeRefreshToken(token);
    if (named && named.session_id !== session_id)
      throw new AppError('request.invalid', 'The access token and the cookie belong to different sessions.');
    await logout(deps, { ...actor, user_id, session_id });
    return mode;
  }
  if (kind === 'api_key') throw new AppError('access.denied');
  if (token === undefined) throw new AppError('auth.required');
  assertOwnScript(deps, headers);
  await logoutByCookie(deps, actor, token).catch((error) => Promise.reject(withoutCookie(error, mode)));
  return mode;
}

async function logoutByCookie(deps: Deps, actor: Actor, token: string): Promise<void> {
  const session = await findSessionOfToken(deps, deps.pool, token);
  if (!session) throw new AppError('auth.session_ended');
  const { id: session_id, user_id, role } = session;
  await logout(deps, { ...actor, kind: 'user', user_id, session_id, role });
}
