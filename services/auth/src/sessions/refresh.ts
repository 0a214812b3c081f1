import { factKey } from '@gatehouse/contracts/facts';
import type { Actor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import type { Deps } from '../deps.ts';
import { decodeRefreshToken, type RefreshClaim, verifyRefreshToken } from '../tokens/refresh-tokens.ts';
import { limitsOf, sessionKey, type Tokens, tokensOf } from './sessions.ts';
import { endSession, lockSession, type SessionState, updateRotation } from './store.ts';

type Refusal = 'malformed' | 'unknown' | 'ended' | 'expired' | 'mismatch' | 'reuse';
type Outcome = { refused: Refusal } | { rotated: boolean; generation: number; session: SessionState; key: Buffer };

const METRIC = {
  malformed: 'invalid',
  unknown: 'invalid',
  mismatch: 'invalid',
  ended: 'revoked',
  expired: 'expired',
  reuse: 'reuse',
} as const;

/**
 * Exchanges a refresh token for its successor (RFC 9700, section 4.14.2). The direct parent gets the same successor
 * again for the grace period; anything older was copied, and ends the session.
 */
export async function refresh(deps: Deps, actor: Actor, token: string): Promise<Tokens> {
  const claim = decodeRefreshToken(token);
  if (!claim) {
    await tellRefused(deps.pool, actor, 'malformed');
    return refuse(deps, 'malformed');
  }
  if (actor.session_id !== undefined && actor.session_id !== claim.session_id)
    throw new AppError('request.invalid', 'The access token and the refresh token belong to different sessions.', {
      details: [{ pointer: '/refresh_token', message: 'is not of the session that the access token names' }],
    });
  const outcome = await transaction(deps.pool, (tx) => exchange(deps, tx, actor, claim));
  if ('refused' in outcome) return refuse(deps, outcome.refused);
  deps.metrics.refreshes.inc({ outcome: 'success', reason: outcome.rotated ? 'ok' : 'grace' });
  return tokensOf(deps, outcome.session, outcome.generation, outcome.key);
}

// Refusals are returned and not thrown: what they record and end must be committed.
async function exchange(deps: Deps, tx: Tx, actor: Actor, claim: RefreshClaim & { mac: Buffer }): Promise<Outcome> {
  const session = await lockSession(tx, claim.session_id);
  const key = session && sessionKey(deps, session);
  if (!session || !key || !verifyRefreshToken(claim, key)) return refused(tx, actor, 'unknown');
  const now = deps.clock();
  if (session.ended_at || session.user_status !== 'active') return refused(tx, actor, 'ended', session);
  if (session.expires_at <= now || session.idle_expires_at <= now) return refused(tx, actor, 'expired', session);

  const behind = session.generation - claim.generation;
  if (behind === 0) return rotated(deps, tx, actor, session, key);
  // Ours, but from a future that a restored backup has forgotten.
  if (behind < 0) return refused(tx, actor, 'mismatch', session);
  const graceMs = deps.config.REFRESH_GRACE_SECONDS * 1000;
  if (behind === 1 && now.getTime() - session.rotated_at.getTime() <= graceMs)
    return { rotated: false, generation: session.generation, session, key };
  return reused(deps, tx, actor, session);
}

async function rotated(deps: Deps, tx: Tx, actor: Actor, session: SessionState, key: Buffer): Promise<Outcome> {
  const now = deps.clock();
  const generation = session.generation + 1;
  const idleMs = Math.min(now.getTime() + limitsOf(deps, session.role).idleMs, session.expires_at.getTime());
  const idle_expires_at = new Date(idleMs);
  await updateRotation(tx, { id: session.id, generation, address: actor.address, now, idle_expires_at });
  return { rotated: true, generation, session, key };
}

async function reused(deps: Deps, tx: Tx, actor: Actor, { id, user_id }: SessionState): Promise<Outcome> {
  await endSession(tx, id, user_id, { reason: 'refresh_reuse', now: deps.clock() });
  const target = { type: 'session', id };
  await publish(tx, actor, 'auth.refresh_reuse.v1', { user_id, session_id: id }, { target, outcome: 'denied' });
  await deps.facts.invalidate(factKey.session(id));
  return { refused: 'reuse' };
}

async function refused(
  tx: Tx,
  actor: Actor,
  reason: Exclude<Refusal, 'reuse'>,
  session?: SessionState,
): Promise<Outcome> {
  await tellRefused(tx, actor, reason, session);
  return { refused: reason };
}

function tellRefused(
  db: Parameters<typeof publish>[0],
  actor: Actor,
  reason: Exclude<Refusal, 'reuse'>,
  session?: SessionState,
): Promise<void> {
  const known = session ? { user_id: session.user_id, session_id: session.id } : {};
  const target = session ? { target: { type: 'session', id: session.id } } : {};
  return publish(db, actor, 'auth.refresh_refused.v1', { ...known, reason }, { ...target, outcome: 'denied' });
}

function refuse({ metrics }: Deps, reason: Refusal): never {
  metrics.refreshes.inc({ outcome: 'failure', reason: METRIC[reason] });
  if (reason === 'expired') throw new AppError('auth.session_expired', 'The session has expired. Sign in again.');
  if (reason === 'ended' || reason === 'reuse')
    throw new AppError('auth.session_ended', 'The session has ended. Sign in again.');
  throw new AppError('auth.refresh_refused', 'The refresh token is not valid.');
}
