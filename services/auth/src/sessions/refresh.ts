import type { KeyObject } from 'node:crypto';
import { factKey } from '@gatehouse/contracts/facts';
import type { Actor } from '@gatehouse/kit/actor';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import { findUser } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { deviceName } from '../devices/agents.ts';
import { decodeRefreshToken, type PresentedToken, verifyRefreshToken } from '../tokens/refresh-tokens.ts';
import { type Described, limitsOf, resealed, tokensOf, verifiedKey, withinLimits } from './sessions.ts';
import { endSession, findSession, rotateSession, type SessionState, updateSealedKey } from './store.ts';

type Refusal = 'malformed' | 'unknown' | 'ended' | 'expired' | 'mismatch' | 'reuse';

interface Refused {
  verdict: Refusal;
  session?: SessionState;
}

type Judgement = { verdict: 'current' | 'grace'; session: SessionState; key: KeyObject } | Refused;

const METRIC = {
  malformed: 'invalid',
  unknown: 'invalid',
  mismatch: 'invalid',
  ended: 'revoked',
  expired: 'expired',
  reuse: 'reuse',
} as const;

/** Whoever loses this many races for a rotation in a row is not one client with its retries. */
const ROUNDS_MAX = 8;

/**
 * Exchanges a refresh token for its successor (RFC 9700, section 4.14.2). The direct parent gets the same successor
 * again for the grace period; anything older was copied, and ends the session. docs/refresh.md has every case.
 *
 * With the session's key at hand a refresh is one statement: it takes the session on if it lives and is at the token's
 * generation, so that of many at one instant one does, and the others look and find themselves its parent. Without the
 * key, or when the statement found nothing to take on, the session is looked at first.
 */
export async function refresh(deps: Deps, actor: Actor, token: string) {
  const claim = decodeRefreshToken(token);
  if (!claim) return refuse(deps, actor, { verdict: 'malformed' });
  if (actor.session_id !== undefined && actor.session_id !== claim.session_id)
    throw new AppError('request.invalid', 'The access token and the refresh token belong to different sessions.', {
      details: [{ pointer: '/refresh_token', message: 'is not of the session that the access token names' }],
    });
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const key = deps.sessionKeys.get(claim.session_id);
    const rotated = key && verifyRefreshToken(claim, key) ? await rotate(deps, actor, claim) : undefined;
    if (key && rotated) return succeed(deps, claim, { reason: 'ok', session: rotated, key });
    const judgement = judge(deps, claim, await findSession(deps.pool, claim.session_id));
    if (!('key' in judgement)) return refuse(deps, actor, judgement);
    if (judgement.verdict === 'grace') return succeed(deps, claim, { ...judgement, reason: 'grace' });
    await remember(deps, judgement.session, judgement.key);
  }
  throw new AppError('overloaded', 'The session is being refreshed too often at once.', {
    headers: { 'retry-after': '1' },
  });
}

interface Success {
  reason: 'ok' | 'grace';
  session: Described;
  key: KeyObject;
}

/** The successor of the token: for a parent in its grace, the one that its first exchange led to. */
function succeed(deps: Deps, { generation }: PresentedToken, { reason, session, key }: Success) {
  deps.metrics.refreshes.inc({ outcome: 'success', reason });
  return { tokens: tokensOf(deps, session, generation + 1, key), session };
}

function rotate(deps: Deps, actor: Actor, { session_id, generation }: PresentedToken) {
  const [ordinary, admin] = [limitsOf(deps, 'user'), limitsOf(deps, 'admin')];
  return rotateSession(deps.pool, {
    id: session_id,
    generation,
    address: actor.address,
    now: deps.clock(),
    ordinary,
    admin,
  });
}

async function remember(deps: Deps, session: SessionState, key: KeyObject): Promise<void> {
  deps.sessionKeys.remember(session.id, key);
  const key_sealed = resealed(deps, session);
  if (key_sealed) await updateSealedKey(deps.pool, session.id, key_sealed);
}

function judge(deps: Deps, claim: PresentedToken, stored: SessionState | undefined): Judgement {
  const key = stored && verifiedKey(deps, stored, claim);
  if (!stored || !key) return { verdict: 'unknown' };
  const session = withinLimits(deps, stored);
  const now = deps.clock();
  if (session.ended_at || session.user_status !== 'active') return { verdict: 'ended', session };
  if (session.expires_at <= now || session.idle_expires_at <= now) return { verdict: 'expired', session };
  const behind = session.generation - claim.generation;
  if (behind === 0) return { verdict: 'current', session, key };
  // Ours, but from a future that a restored backup has forgotten.
  if (behind < 0) return { verdict: 'mismatch', session };
  const graceMs = deps.config.REFRESH_GRACE_SECONDS * 1000;
  const inGrace = behind === 1 && now.getTime() - session.rotated_at.getTime() <= graceMs;
  return inGrace ? { verdict: 'grace', session, key } : { verdict: 'reuse', session };
}

/** Records a refusal, which for a reuse ends the session, and throws what the client is told. */
async function refuse(deps: Deps, actor: Actor, { verdict, session }: Refused): Promise<never> {
  let reason = verdict;
  // Of two reuses at once the second finds it ended.
  if (reason === 'reuse' && session && !(await endFamily(deps, actor, session))) reason = 'ended';
  if (reason !== 'reuse') await tellRefused(deps, actor, reason, session);
  deps.metrics.refreshes.inc({ outcome: 'failure', reason: METRIC[reason] });
  if (reason === 'expired') throw new AppError('auth.session_expired', 'The session has expired. Sign in again.');
  if (reason === 'ended' || reason === 'reuse')
    throw new AppError('auth.session_ended', 'The session has ended. Sign in again.');
  throw new AppError('auth.refresh_refused', 'The refresh token is not valid.');
}

function tellRefused(
  { pool }: Deps,
  actor: Actor,
  reason: Exclude<Refusal, 'reuse'>,
  session: SessionState | undefined,
): Promise<void> {
  const known = session ? { user_id: session.user_id, session_id: session.id } : {};
  const target = session ? { target: { type: 'session', id: session.id } } : {};
  return publish(pool, actor, 'auth.refresh_refused.v1', { ...known, reason }, { ...target, outcome: 'denied' });
}

/** Ends a session whose token was copied, and tells its owner, once: false when it had been ended before. */
function endFamily(deps: Deps, actor: Actor, { id, user_id }: SessionState): Promise<boolean> {
  return transaction(deps.pool, async (tx) => {
    const now = deps.clock();
    if (!(await endSession(tx, id, user_id, { reason: 'refresh_reuse', now }))) return false;
    const target = { type: 'session', id };
    await publish(tx, actor, 'auth.refresh_reuse.v1', { user_id, session_id: id }, { target, outcome: 'denied' });
    const owner = await findUser(tx, user_id);
    // No mail goes to where a guest's address belongs.
    if (owner?.registered_email === null) {
      const occasion = { device: deviceName(actor.agent), address: actor.address, at: now.toISOString() };
      const params = { name: owner.name, ...occasion };
      await enqueue(tx, 'mail.send', { template: 'refresh-reused', to: owner.email, params });
    }
    await deps.facts.invalidate(factKey.session(id));
    return true;
  });
}
