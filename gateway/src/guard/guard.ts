import { type ApiKeyFact, factKey } from '@gatehouse/contracts/facts';
import type { IdentityOrg, Plan } from '@gatehouse/contracts/identity';
import { permissionsOf } from '@gatehouse/contracts/permissions';
import { judgeKeyUse, type KeyObjection, keyHasEnded } from '@gatehouse/kit/api-keys';
import type { Clock } from '@gatehouse/kit/clock';
import type { KeyPrincipal, UserPrincipal } from '../credentials/principals.ts';
import { REFUSALS, type Refusal, sessionTooOld } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import type { RememberedFacts } from '../facts/remembered.ts';
import type { Standing } from '../identity/identities.ts';

const CLOCK_TOLERANCE_SECONDS = 5;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Undefined: go on. A promise: a fact must be loaded, then ask again. */
export type Verdict = undefined | Refusal | Promise<void>;

interface Options {
  facts: RememberedFacts;
  clock: Clock;
}

/**
 * Whether the principal is alive and may act for the organization that the request means. Everything is asked of the
 * owners' facts, nothing is taken from the token; any "no" wins.
 */
export function createGuard({ facts, clock }: Options) {
  function judge(exchange: Exchange): Verdict {
    const { principal } = exchange;
    if (principal.kind === 'user') return judgeUser(exchange, principal);
    if (principal.kind === 'api_key') return judgeKey(exchange, principal);
    return undefined;
  }

  function judgeUser(exchange: Exchange, principal: UserPrincipal): Verdict {
    const { session_id, user_id } = principal;
    const named = namedOrg(exchange);
    if (typeof named === 'object') return named;
    const session = facts.session(session_id);
    if (session === undefined) {
      const loading = facts.loadSession(session_id);
      // Both questions at once: the second would come right after the answer to the first.
      if (named !== undefined && facts.member(memberKeyOf(principal, named)) === undefined)
        return Promise.all([loading, facts.loadGuard(named, user_id)]).then(() => undefined);
      return loading;
    }
    if (
      session === null ||
      !session.active ||
      session.user_id !== user_id ||
      principal.expiresAtMs <= clock().getTime()
    )
      return ended(exchange);
    if (named === undefined) {
      exchange.standing = standingOf(principal, session.role, undefined);
      return session.second_factor_required && !principal.mfa
        ? unlessExempt(exchange, REFUSALS.secondFactor)
        : undefined;
    }
    const org = facts.org(named);
    const member = facts.member(memberKeyOf(principal, named));
    if (org === undefined || member === undefined) return facts.loadGuard(named, user_id);
    const role = member?.role ?? (session.role === 'admin' ? 'platform_admin' : undefined);
    // Whoever is no member may not even know that the organization exists.
    if (org === null || org.status === 'deleted' || role === undefined) return REFUSALS.orgUnknown;
    // Platform admins go on, since one of them must be able to look at it and lift the suspension.
    if (org.status === 'suspended' && session.role !== 'admin') return REFUSALS.orgSuspended;
    // An owner may all that a platform admin may, and an upstream wants to know who its owner is.
    const effective = session.role === 'admin' && role !== 'owner' ? 'platform_admin' : role;
    exchange.standing = standingOf(principal, session.role, identityOrg(named, effective, org.plan));
    exchange.plan = org.plan;
    // A platform admin who looks at an organization does not use up what it has.
    exchange.quotaOrg = effective === 'platform_admin' ? undefined : named;
    if ((session.second_factor_required || org.second_factor_required) && !principal.mfa)
      return unlessExempt(exchange, REFUSALS.secondFactor);
    return org.session_max_seconds === null ? undefined : judgeAge(exchange, principal, org.session_max_seconds);
  }

  /** How long after the last proof of who they are a user may act for the organization. */
  function judgeAge(exchange: Exchange, { auth_time }: UserPrincipal, maxSeconds: number): Verdict {
    const ageSeconds = clock().getTime() / 1000 - auth_time;
    if (ageSeconds <= maxSeconds + CLOCK_TOLERANCE_SECONDS) return undefined;
    return unlessExempt(exchange, sessionTooOld(maxSeconds));
  }

  function judgeKey(exchange: Exchange, principal: KeyPrincipal): Verdict {
    const key = facts.apiKey(principal.hash);
    if (key === undefined) return facts.loadApiKey(principal.hash, exchange.address);
    if (key === null || keyHasEnded(key, clock().getTime())) return REFUSALS.keyUnknown;
    const org = facts.org(key.org_id);
    if (org === undefined) return facts.loadGuard(key.org_id, key.key_id);
    if (org === null || org.status !== 'active') return REFUSALS.keyUnknown;
    // Known from here on, so that a refusal below is recorded with the key and its organization.
    exchange.standing = keyStandingOf(principal, key, exchange.route?.kind === 'standalone' ? undefined : org.plan);
    exchange.quotaOrg = key.org_id;
    exchange.plan = org.plan;
    const objection = judgeKeyUse(key, exchange, exchange.head.orgId);
    return objection === undefined ? undefined : KEY_REFUSALS[objection];
  }

  return { judge };
}

export type Guard = ReturnType<typeof createGuard>;

/** Where nobody needs to be signed in, a session that has ended is as good as none. */
function ended(exchange: Exchange): Refusal | undefined {
  if (!exchange.isPublic) return REFUSALS.sessionEnded;
  exchange.becomeAnonymous();
  return undefined;
}

/** The one organization that the request means, in lower case; undefined when it means none; else what is wrong. */
function namedOrg({ route, head }: Exchange): string | undefined | Refusal {
  if (route?.kind === 'standalone') return undefined;
  const fromPath = route?.orgId?.toLowerCase();
  const fromHeader = head.orgId?.toLowerCase();
  if (fromHeader !== undefined && !UUID.test(fromHeader)) return REFUSALS.orgMalformed;
  if (fromPath !== undefined && !UUID.test(fromPath)) return REFUSALS.orgUnknown;
  if (fromPath !== undefined && fromHeader !== undefined && fromPath !== fromHeader) return REFUSALS.orgDisagrees;
  const named = fromPath ?? fromHeader;
  return named === undefined && route?.kind === 'proxy' ? REFUSALS.orgMissing : named;
}

const KEY_REFUSALS = {
  scope: REFUSALS.keyScope,
  rule: REFUSALS.keyRule,
  address: REFUSALS.keyAddress,
  organization: REFUSALS.orgDisagrees,
} as const satisfies Record<KeyObjection, Refusal>;

/** What is open to everybody, and where a proof is given, is open to whoever still owes one. */
function unlessExempt({ isPublic, route }: Exchange, refusal: Refusal): Refusal | undefined {
  return isPublic || route?.ownAccount === true ? undefined : refusal;
}

/** The name of a membership's fact. Kept on the principal, who mostly acts for one organization all the time. */
function memberKeyOf(principal: UserPrincipal, orgId: string): string {
  if (principal.memberOf !== orgId) {
    principal.memberKey = factKey.member(orgId, principal.user_id);
    principal.memberOf = orgId;
  }
  return principal.memberKey;
}

/** The principal's standing: the same object as the last time while it is the same. */
function standingOf(principal: UserPrincipal, role: Standing['role'], org: Standing['org']): Standing {
  const last = principal.lastStanding;
  if (last.role === role && last.org === org) return last;
  principal.lastStanding = { role, key_id: undefined, org };
  return principal.lastStanding;
}

/** As `standingOf`, for a key; without a plan it acts for no organization. */
function keyStandingOf(principal: KeyPrincipal, { key_id, org_id }: ApiKeyFact, plan: Plan | undefined): Standing {
  const last = principal.lastStanding;
  if (last.key_id === key_id && last.org?.plan === plan && (plan === undefined || last.org?.id === org_id)) return last;
  const org: Standing['org'] = plan && { id: org_id, role: 'api_key', permissions: [], plan };
  principal.lastStanding = { role: undefined, key_id, org };
  return principal.lastStanding;
}

const orgs = new Map<string, IdentityOrg[]>();
const ORGS_MAX = 10_000;

/** Shared between requests: it is read for each of them and never changed. */
function identityOrg(
  id: string,
  role: IdentityOrg['role'] & Parameters<typeof permissionsOf>[0],
  plan: Plan,
): IdentityOrg {
  let states = orgs.get(id);
  if (!states) {
    states = [];
    if (orgs.size >= ORGS_MAX) orgs.clear();
    orgs.set(id, states);
  }
  for (const org of states) if (org.role === role && org.plan === plan) return org;
  const org = { id, role, permissions: [...permissionsOf(role)], plan };
  states.push(org);
  return org;
}
