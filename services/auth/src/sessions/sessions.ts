import { randomBytes } from 'node:crypto';
import { factKey } from '@gatehouse/contracts/facts';
import type { AuthenticationMethod, PlatformRole } from '@gatehouse/contracts/identity';
import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { open, seal } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { errorFields } from '@gatehouse/kit/log';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';
import type { User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { signAccessToken } from '../tokens/access-tokens.ts';
import { encodeRefreshToken } from '../tokens/refresh-tokens.ts';
import {
  type EndReason,
  endAllSessions,
  endOldestSessions,
  endSession,
  findSession,
  insertSession,
  listLiveSessions,
  type SessionState,
} from './store.ts';

export { countLiveSessions } from './store.ts';

/** The answer of sign-in and refresh (RFC 6749, section 5.1). */
export const Tokens = z.object({
  access_token: z.string(),
  token_type: z.literal('bearer'),
  /** Seconds. */
  expires_in: z.int(),
  refresh_token: z.string(),
});
export type Tokens = z.infer<typeof Tokens>;

type SessionDeps = Pick<Deps, 'config' | 'clock' | 'facts' | 'keyring' | 'secrets' | 'pool'>;

/** How long a session of that role may rest, and last. */
export function limitsOf({ config }: Pick<Deps, 'config'>, role: PlatformRole) {
  return role === 'admin'
    ? { idleMs: config.ADMIN_SESSION_IDLE_SECONDS * 1000, absoluteMs: config.ADMIN_SESSION_ABSOLUTE_SECONDS * 1000 }
    : { idleMs: config.SESSION_IDLE_SECONDS * 1000, absoluteMs: config.SESSION_ABSOLUTE_SECONDS * 1000 };
}

interface Opening {
  amr: AuthenticationMethod[];
  device_id: string | null;
}

/** Opens a session in the caller's transaction, which holds the user's row: beyond the limit the oldest one ends. */
export async function startSession(deps: SessionDeps, tx: Tx, user: User, actor: Actor, { amr, device_id }: Opening) {
  const now = deps.clock();
  const { idleMs, absoluteMs } = limitsOf(deps, user.role);
  const ended = await endOldestSessions(tx, user.id, deps.config.SESSIONS_MAX - 1, now);
  await tellEnded(deps, tx, actor, { user_id: user.id, ended, reason: 'session_limit' });

  const id = newId();
  const key = randomBytes(32);
  const expires_at = new Date(now.getTime() + absoluteMs);
  await insertSession(tx, {
    id,
    user_id: user.id,
    key_sealed: seal(deps.secrets.sessions, key, aadOf(id, user.id)),
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

/** The token answer of a session at a generation. */
export function tokensOf(
  deps: Pick<Deps, 'config' | 'clock' | 'keyring'>,
  session: Pick<SessionState, 'id' | 'user_id' | 'role' | 'amr' | 'authenticated_at' | 'expires_at'>,
  generation: number,
  key: Buffer,
): Tokens {
  const { id: session_id, user_id, role, amr, authenticated_at, expires_at } = session;
  return {
    ...signAccessToken(deps, { user_id, session_id, role, amr, authenticated_at, expires_at }),
    token_type: 'bearer',
    refresh_token: encodeRefreshToken({ session_id, generation }, key),
  };
}

/** The key of a session's refresh tokens; undefined, and an error in the log, for a row that was moved or altered. */
export function sessionKey({ secrets, log }: Pick<Deps, 'secrets' | 'log'>, session: SessionState): Buffer | undefined {
  try {
    return open(secrets.sessions, session.key_sealed, aadOf(session.id, session.user_id));
  } catch (error) {
    log.error('the key of a session does not open: its row was altered, or JWT_SECRET was', errorFields(error));
    return undefined;
  }
}

export async function listSessions({ pool, clock }: SessionDeps, actor: UserActor) {
  const sessions = await listLiveSessions(pool, actor.user_id, clock());
  return { data: sessions.map((session) => ({ ...session, current: session.id === actor.session_id })) };
}

export function logout(deps: SessionDeps, actor: UserActor): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    const { user_id, session_id } = actor;
    if (!(await endSession(tx, session_id, user_id, { reason: 'logout', now: deps.clock() })))
      throw new AppError('auth.session_ended');
    await publish(
      tx,
      actor,
      'auth.logout.v1',
      { user_id, session_id },
      { target: { type: 'session', id: session_id } },
    );
    await deps.facts.invalidate(factKey.session(session_id));
  });
}

export function revokeSession(deps: SessionDeps, actor: UserActor, sessionId: string): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    if (!(await endSession(tx, sessionId, actor.user_id, { reason: 'user', now: deps.clock() })))
      throw new AppError('auth.session_not_found', 'You have no such session.');
    await tellEnded(deps, tx, actor, { user_id: actor.user_id, ended: [sessionId], reason: 'user' });
  });
}

export function revokeAllSessions(deps: SessionDeps, actor: UserActor): Promise<void> {
  return transaction(deps.pool, (tx) => endSessionsOf(deps, tx, actor, actor.user_id, 'user'));
}

/** Why a session may be ended from elsewhere. */
export type ToldReason = Exclude<EndReason, 'logout' | 'refresh_reuse'>;

/** Ends every session of a user in the caller's transaction, but for the one that may go on. */
export async function endSessionsOf(
  deps: SessionDeps,
  tx: Tx,
  actor: Actor,
  user_id: string,
  reason: ToldReason,
  { except }: { except?: string } = {},
) {
  const ended = await endAllSessions(tx, user_id, { reason, now: deps.clock(), except: except ?? null });
  await tellEnded(deps, tx, actor, { user_id, ended, reason });
}

interface Ended {
  user_id: string;
  ended: string[];
  reason: ToldReason;
}

async function tellEnded({ facts }: Pick<Deps, 'facts'>, tx: Tx, actor: Actor, { user_id, ended, reason }: Ended) {
  for (const session_id of ended) {
    const target = { type: 'session', id: session_id };
    await publish(tx, actor, 'auth.session_revoked.v1', { user_id, session_id, reason }, { target });
  }
  // Before the commit: from now on everyone asks us, and gets what is committed.
  if (ended.length > 0) await facts.invalidate(...ended.map(factKey.session));
}

/** What the gateway asks of a session: whose it is, and whether it lives. */
export async function sessionFact({ pool, clock, facts }: Pick<Deps, 'pool' | 'clock' | 'facts'>, sessionId: string) {
  const session = await findSession(pool, sessionId);
  if (!session) throw new AppError('auth.session_not_found', 'There is no such session.');
  const fact = {
    session_id: session.id,
    user_id: session.user_id,
    active: isLive(session, clock()),
    role: session.role,
  };
  await facts.fill(factKey.session(sessionId), fact);
  return fact;
}

export function isLive(session: SessionState, now: Date): boolean {
  return (
    session.ended_at === null &&
    session.user_status === 'active' &&
    session.expires_at > now &&
    session.idle_expires_at > now
  );
}

const aadOf = (sessionId: string, userId: string) => `auth.sessions.key_sealed:${sessionId}:${userId}`;
