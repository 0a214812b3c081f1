import { factKey, type SessionFact, type SessionFacts } from '@gatehouse/contracts/facts';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import { livesOf } from '../sessions/sessions.ts';
import { secondFactorRequired } from '../sign-in/policy.ts';

type FactDeps = Pick<Deps, 'config' | 'pool' | 'clock' | 'facts'>;

/** What the gateway asks of a session: whose it is, and whether it lives. */
export async function sessionFact(deps: FactDeps, sessionId: string): Promise<SessionFact> {
  const { sessions } = await sessionFacts(deps, [sessionId]);
  const fact = sessions[sessionId];
  if (!fact) throw new AppError('auth.session_not_found', 'There is no such session.');
  return fact;
}

/** The same for many, in one statement and one trip to the cache. A session that there is not is null, and not cached. */
export async function sessionFacts(deps: FactDeps, sessionIds: readonly string[]): Promise<SessionFacts> {
  const sessions: SessionFacts['sessions'] = {};
  for (const id of sessionIds) sessions[id] = null;
  for (const life of await livesOf(deps, sessionIds))
    sessions[life.session_id] = { ...life, second_factor_required: secondFactorRequired(deps.config, life.role) };
  const found = Object.values(sessions).filter((fact) => fact !== null);
  await deps.facts.fillAll(found.map((fact) => [factKey.session(fact.session_id), fact]));
  return { sessions };
}
