import type { UserActor } from '@gatehouse/kit/actor';
import { assertPolicies } from '@gatehouse/kit/authorize';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, discardClaims, insertUser } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { assertStrong, guessableWords } from '../passwords/passwords.ts';
import { secondFactorRequired } from '../sign-in/policy.ts';
import { admitUser, findPolicies, mayAdmit } from './store.ts';

export interface AdminRegistration {
  email: string;
  name: string;
  password: string;
  org_id: string;
}

type Rejection = 'address_taken' | 'password_weak' | 'organization_unknown' | 'no_place' | 'domain_refused';

/**
 * An owner or admin makes an account in the organization: a viewer, whatever is asked for. Who administers an
 * organization is told that an address is taken, by 409: there is no account to answer with, and a 201 would be a lie.
 * Each such answer is in the log, and the gateway counts them.
 */
export async function registerByAdmin(deps: Deps, actor: UserActor, request: AdminRegistration) {
  const { email, name, password, org_id } = request;
  const admission = { actor_id: actor.user_id, platform_admin: actor.role === 'admin', org_id };
  const user = { id: newId(), email, name, role: 'user' as const };
  try {
    assertMay(await mayAdmit(deps.pool, admission));
    const { second_factor_required, session_max_seconds } = await findPolicies(deps.pool, org_id);
    const asked = second_factor_required || secondFactorRequired(deps.config, actor.role);
    // Registering is open to everybody at the gateway, so that nothing was asked of the session there.
    assertPolicies({ second_factor_required: asked, session_max_seconds }, actor);
    assertStrong(deps, password, await guessableWords(deps, { org_id, words: [email, name] }));
    // A taken address is found by the insert: looked for here, it would refuse the retry of what this key has made.
    const password_hash = await deps.hasher.hash(password);
    const answer = await transaction(deps.pool, async (tx) => {
      const now = deps.clock();
      await discardClaims(tx, [email], now);
      await insertUser(tx, { ...user, password_hash, now });
      await endGuestsOf(deps, tx, actor, email);
      await admitUser(tx, admission, user.id, 'viewer');
      const options = { org_id, target: { type: 'user', id: user.id } };
      const registered = { user_id: user.id, mode: 'admin', role: 'user' } as const;
      await publish(tx, actor, 'auth.user_registered.v1', registered, options);
      await publish(tx, actor, 'org.member_added.v1', { user_id: user.id, role: 'viewer' }, options);
      return { user: { id: user.id, email, name, role: 'viewer' as const, org_id } };
    });
    deps.metrics.registrations.inc({ outcome: 'success', reason: 'ok' });
    return answer;
  } catch (error) {
    await tellRefused(deps, actor, request, error);
    throw error;
  }
}

function assertMay(answer: 'ok' | 'denied' | 'not_found'): void {
  if (answer === 'not_found') throw new AppError('org.not_found', 'No such organization.');
  if (answer === 'denied') throw new AppError('access.denied', 'Only owners and admins register users.');
}

/** Records what was refused; a 403 is recorded by the kit, for every endpoint alike. */
async function tellRefused(deps: Deps, actor: UserActor, { email }: AdminRegistration, error: unknown): Promise<void> {
  const code = error instanceof AppError ? error.code : undefined;
  if (code === 'access.denied') deps.metrics.registrations.inc({ outcome: 'rejected', reason: 'denied' });
  const reasons: Partial<Record<string, Rejection>> = {
    'auth.account_taken': 'address_taken',
    'org.domain_refused': 'domain_refused',
    'org.member_limit_reached': 'no_place',
    'org.not_found': 'organization_unknown',
    'request.invalid': 'password_weak',
  };
  const reason = code && reasons[code];
  if (!reason) return;
  deps.metrics.registrations.inc({ outcome: 'rejected', reason });
  const account = accountLabel(deps, email);
  // By a statement of its own: inside a transaction it would become the stored answer of the Idempotency-Key.
  await publish(
    deps.pool,
    actor,
    'auth.registration_refused.v1',
    { account, reason },
    { org_id: null, outcome: 'denied' },
  );
}
