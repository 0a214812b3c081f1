import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { factKey } from '@gatehouse/contracts/facts';
import type { AuthenticationMethod, PlatformRole } from '@gatehouse/contracts/identity';
import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { open, reseal, seal } from '@gatehouse/kit/crypto';
import { type Db, type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { errorFields } from '@gatehouse/kit/log';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import type { User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { deviceName } from '../devices/agents.ts';
import { signAccessToken } from '../tokens/access-tokens.ts';
import {
  decodeRefreshToken,
  encodeRefreshToken,
  type PresentedToken,
  verifyRefreshToken,
} from '../tokens/refresh-tokens.ts';
import {
  type EndReason,
  endAllSessions,
  endDeviceSessions,
  endOldestSessions,
  endSession,
  findLives,
  findSession,
  insertSession,
  type Limits,
  listLiveSessions,
  lockSession,
  type SessionState,
  updateAuthentication,
} from './store.ts';

export { countLiveSessions } from './store.ts';

/** The answer of sign-in and refresh (RFC 6749, section 5.1). */
export const Tokens = z.object({
  access_token: z.string(),
  token_type: z.literal('bearer'),
  /** Seconds. */
  expires_in: z.int(),
  /** Absent for a session that is kept in a cookie, which has it. */
  refresh_token: z.string().optional(),
});
export type Tokens = z.infer<typeof Tokens>;

type SessionDeps = Pick<Deps, 'config' | 'clock' | 'facts' | 'keyring' | 'secrets' | 'pool' | 'log'>;

/** How long a session of that role may rest, and last. */
export function limitsOf({ config }: Pick<Deps, 'config'>, role: PlatformRole): Limits {
  return role === 'admin'
    ? { idleMs: config.ADMIN_SESSION_IDLE_SECONDS * 1000, absoluteMs: config.ADMIN_SESSION_ABSOLUTE_SECONDS * 1000 }
    : { idleMs: config.SESSION_IDLE_SECONDS * 1000, absoluteMs: config.SESSION_ABSOLUTE_SECONDS * 1000 };
}

interface Opening {
  amr: AuthenticationMethod[];
  device_id: string | null;
  /** The refresh token of the session whose cookie the new one takes. */
  replaces?: string | undefined;
}

/** Opens a session in the caller's transaction, which holds the user's row: beyond the limit the oldest one ends. */
export async function startSession(deps: SessionDeps, tx: Tx, user: User, actor: Actor, opening: Opening) {
  const { amr, device_id, replaces } = opening;
  if (replaces !== undefined) await endReplaced(deps, tx, actor, replaces);
  const now = deps.clock();
  const { idleMs, absoluteMs } = limitsOf(deps, user.role);
  const ended = await endOldestSessions(tx, user.id, deps.config.SESSIONS_MAX - 1, now);
  await tellEnded(deps, tx, actor, { user_id: user.id, ended, reason: 'session_limit' });

  const id = newId();
  const key = createSecretKey(randomBytes(32));
  // That of a guest ends with the visit.
  const expires_at = earlier(user.confirm_by ?? new Date(now.getTime() + absoluteMs), now.getTime() + absoluteMs);
  await insertSession(tx, {
    id,
    user_id: user.id,
    key_sealed: seal(deps.secrets.sessions, key.export(), aadOf(id, user.id)),
    device: actor.agent,
    address: actor.address,
    amr,
    device_id,
    now,
    idle_expires_at: new Date(Math.min(now.getTime() + idleMs, expires_at.getTime())),
    expires_at,
  });
  const session = { id, user_id: user.id, role: user.role, amr, authenticated_at: now, expires_at };
  return { session_id: id, tokens: () => tokensOf(deps, session, 0, key) };
}

/** Nobody holds the cookie of that session any more: it ends, and is not left behind (ASVS 7.2.4). */
async function endReplaced(deps: SessionDeps, tx: Tx, actor: Actor, token: string): Promise<void> {
  const session = await findSessionOfToken(deps, tx, token);
  if (!session || !(await endSession(tx, session.id, session.user_id, { reason: 'replaced', now: deps.clock() })))
    return;
  await tellEnded(deps, tx, actor, { user_id: session.user_id, ended: [session.id], reason: 'replaced' });
}

/** What the tokens of a session tell of it. */
export type Described = Pick<SessionState, 'id' | 'user_id' | 'role' | 'amr' | 'authenticated_at' | 'expires_at'>;

/** The token answer of a session at a generation. */
export function tokensOf(
  deps: Pick<Deps, 'config' | 'clock' | 'keyring'>,
  session: Described,
  generation: number,
  key: KeyObject,
): Tokens & { refresh_token: string } {
  return {
    ...accessTokenOf(deps, session),
    refresh_token: encodeRefreshToken({ session_id: session.id, generation }, key),
  };
}

/** A further access token of a session, as after a new proof of who the user is. */
export function accessTokenOf(deps: Pick<Deps, 'config' | 'clock' | 'keyring'>, session: Described) {
  const { id: session_id, user_id, role, amr, authenticated_at, expires_at } = session;
  const signed = signAccessToken(deps, { user_id, session_id, role, amr, authenticated_at, expires_at });
  return { ...signed, token_type: 'bearer' as const };
}

/**
 * Notes what the user of a session has proved, and unless told otherwise that all of it was proved anew. Returns the
 * session as it is from now on, for `accessTokenOf`; throws `auth.session_ended` when it does not live any more.
 */
export async function markAuthenticated(
  deps: Pick<Deps, 'config' | 'clock'>,
  tx: Tx,
  sessionId: string,
  amr: AuthenticationMethod[],
  { anew = true } = {},
): Promise<SessionState> {
  const now = deps.clock();
  const session = await lockSession(tx, sessionId);
  if (!session || !isLive(deps, session, now)) throw new AppError('auth.session_ended');
  const authenticated_at = anew ? now : session.authenticated_at;
  await updateAuthentication(tx, session.id, amr, authenticated_at);
  return { ...withinLimits(deps, session), amr, authenticated_at };
}

/**
 * The key of a session's refresh tokens, if this is one of them; undefined, and an error in the log, for a row that was
 * moved or altered.
 */
export function verifiedKey(deps: Pick<Deps, 'secrets' | 'log'>, session: SessionState, claim: PresentedToken) {
  const { id, user_id, key_sealed } = session;
  try {
    const key = createSecretKey(open(deps.secrets.sessions, key_sealed, aadOf(id, user_id)));
    return verifyRefreshToken(claim, key) ? key : undefined;
  } catch (error) {
    deps.log.error('the key of a session does not open: its row was altered, or JWT_SECRET was', errorFields(error));
    return undefined;
  }
}

/** The key sealed with today's secret, while an older one is being replaced; null when there is nothing to do. */
export function resealed({ secrets }: Pick<Deps, 'secrets'>, { id, user_id, key_sealed }: SessionState): Buffer | null {
  if (secrets.sessions.length === 1) return null;
  return reseal(secrets.sessions, key_sealed, aadOf(id, user_id)) ?? null;
}

export async function listSessions(deps: SessionDeps, actor: UserActor) {
  const now = deps.clock();
  const sessions = await listLiveSessions(deps.pool, actor.user_id, now);
  const live = sessions
    .map((session) => withinLimits(deps, session))
    .filter(({ expires_at, idle_expires_at }) => expires_at > now && idle_expires_at > now);
  return {
    data: live.map(({ agent, device_name, ...session }) => ({
      ...session,
      current: session.id === actor.session_id,
      device: device_name ?? deviceName(agent),
    })),
  };
}

/** Ends the session that asks. */
export function logout(deps: SessionDeps, actor: Actor & { user_id: string; session_id: string }): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    const { user_id, session_id } = actor;
    if (!(await endSession(tx, session_id, user_id, { reason: 'logout', now: deps.clock() })))
      throw new AppError('auth.session_ended');
    const target = { type: 'session', id: session_id };
    await publish(tx, actor, 'auth.logout.v1', { user_id, session_id }, { target });
    await deps.facts.invalidate(factKey.session(session_id));
  });
}

/** The session that a refresh token is of, whichever generation it is; undefined for a token that is not ours. */
export async function findSessionOfToken(
  deps: Pick<Deps, 'secrets' | 'log'>,
  db: Db,
  token: string,
): Promise<SessionState | undefined> {
  const claim = decodeRefreshToken(token);
  const session = claim && (await findSession(db, claim.session_id));
  return session && verifiedKey(deps, session, claim) ? session : undefined;
}

export function revokeSession(deps: SessionDeps, actor: UserActor, sessionId: string): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    if (!(await endSession(tx, sessionId, actor.user_id, { reason: 'user', now: deps.clock() })))
      throw new AppError('auth.session_not_found', 'You have no such session.');
    await tellEnded(deps, tx, actor, { user_id: actor.user_id, ended: [sessionId], reason: 'user' });
  });
}

/** Why a session may be ended from elsewhere. */
export type ToldReason = Exclude<EndReason, 'logout' | 'refresh_reuse'>;

interface EndDeps extends Pick<Deps, 'clock'> {
  facts: Pick<Deps['facts'], 'invalidate'>;
}

/** Ends every session of a user in the caller's transaction, but for the one that may go on. */
export async function endSessionsOf(
  deps: EndDeps,
  tx: Tx,
  actor: Actor,
  user_id: string,
  reason: ToldReason,
  { except }: { except?: string } = {},
) {
  const ended = await endAllSessions(tx, user_id, { reason, now: deps.clock(), except: except ?? null });
  await tellEnded(deps, tx, actor, { user_id, ended, reason });
}

/** Ends the sessions of a device in the caller's transaction. */
export async function endSessionsOfDevice(
  deps: SessionDeps,
  tx: Tx,
  actor: Actor,
  user_id: string,
  device_id: string,
): Promise<void> {
  const reason = 'device_revoked';
  const ended = await endDeviceSessions(tx, user_id, device_id, { reason, now: deps.clock() });
  await tellEnded(deps, tx, actor, { user_id, ended, reason });
}

interface Ended {
  user_id: string;
  ended: string[];
  reason: ToldReason;
}

async function tellEnded({ facts }: Pick<EndDeps, 'facts'>, tx: Tx, actor: Actor, { user_id, ended, reason }: Ended) {
  for (const session_id of ended) {
    const target = { type: 'session', id: session_id };
    await publish(tx, actor, 'auth.session_revoked.v1', { user_id, session_id, reason }, { target });
  }
  // Before the commit: from now on everyone asks us, and gets what is committed.
  if (ended.length > 0) await facts.invalidate(...ended.map(factKey.session));
}

/** Whose these sessions are and whether they live, in no order; those that there are not are not among them. */
export async function livesOf(deps: Pick<Deps, 'config' | 'pool' | 'clock'>, sessionIds: readonly string[]) {
  const found = await findLives(deps.pool, sessionIds);
  const now = deps.clock();
  return found.map((session) => {
    const { id: session_id, user_id, role } = session;
    return { session_id, user_id, role, active: isLive(deps, session, now) };
  });
}

/**
 * A session under the limits of the role that its user has now: whoever was made an administrator a moment ago is held
 * to an administrator's.
 */
export function withinLimits<S extends Times>(deps: Pick<Deps, 'config'>, session: S): S {
  const { idleMs, absoluteMs } = limitsOf(deps, session.role);
  return {
    ...session,
    expires_at: earlier(session.expires_at, session.created_at.getTime() + absoluteMs),
    idle_expires_at: earlier(session.idle_expires_at, session.last_used_at.getTime() + idleMs),
  };
}

type Times = Pick<SessionState, 'role' | 'created_at' | 'last_used_at' | 'expires_at' | 'idle_expires_at'>;

function earlier(time: Date, otherMs: number): Date {
  return time.getTime() <= otherMs ? time : new Date(otherMs);
}

type Life = Times & Pick<SessionState, 'user_status' | 'ended_at'>;

export function isLive(deps: Pick<Deps, 'config'>, session: Life, now: Date): boolean {
  const { expires_at, idle_expires_at } = withinLimits(deps, session);
  return session.ended_at === null && session.user_status === 'active' && expires_at > now && idle_expires_at > now;
}

export const aadOf = (sessionId: string, userId: string) => `auth.sessions.key_sealed:${sessionId}:${userId}`;
