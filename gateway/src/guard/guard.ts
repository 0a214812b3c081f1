import type { ApiKeyFact } from '@gatehouse/contracts/facts';
import type { IdentityOrg, Plan } from '@gatehouse/contracts/identity';
import { permissionsOf } from '@gatehouse/contracts/permissions';
import type { Clock } from '@gatehouse/kit/clock';
import { addressAllowed, rulesAllow, scopeOf } from '../credentials/api-keys.ts';
import type { KeyPrincipal, UserPrincipal } from '../credentials/principals.ts';
import { REFUSALS, type Refusal } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import type { RememberedFacts } from '../facts/remembered.ts';

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
      if (named !== undefined && facts.member(named, user_id) === undefined)
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
      exchange.standing = { role: session.role, key_id: undefined, org: undefined };
      return undefined;
    }
    const org = facts.org(named);
    const member = facts.member(named, user_id);
    if (org === undefined || member === undefined) return facts.loadGuard(named, user_id);
    const role = member?.role ?? (session.role === 'admin' ? 'platform_admin' : undefined);
    // Whoever is no member may not even know that the organization exists.
    if (org === null || org.status === 'deleted' || role === undefined) return REFUSALS.orgUnknown;
    // Platform admins go on, since one of them must be able to look at it and lift the suspension.
    if (org.status === 'suspended' && session.role !== 'admin') return REFUSALS.orgSuspended;
    // An owner may all that a platform admin may, and an upstream wants to know who its owner is.
    const effective = session.role === 'admin' && role !== 'owner' ? 'platform_admin' : role;
    exchange.standing = { role: session.role, key_id: undefined, org: identityOrg(named, effective, org.plan) };
    exchange.plan = org.plan;
    return undefined;
  }

  function judgeKey(exchange: Exchange, principal: KeyPrincipal): Verdict {
    const key = facts.apiKey(principal.hash);
    if (key === undefined) return facts.loadApiKey(principal.hash);
    if (key === null || !key.active || hasExpired(key, clock().getTime())) return REFUSALS.keyUnknown;
    const org = facts.org(key.org_id);
    if (org === undefined) return facts.loadGuard(key.org_id, key.key_id);
    if (org === null || org.status !== 'active') return REFUSALS.keyUnknown;
    // Known from here on, so that a refusal below is recorded with the key and its organization.
    const standalone = exchange.route?.kind === 'standalone';
    exchange.standing = {
      role: undefined,
      key_id: key.key_id,
      org: standalone ? undefined : { id: key.org_id, role: 'api_key', permissions: [], plan: org.plan },
    };
    const scope = scopeOf(exchange.path);
    if (scope === undefined || !key.scopes.includes(scope)) return REFUSALS.keyScope;
    if (!rulesAllow(key.rules, exchange.method, exchange.path)) return REFUSALS.keyRule;
    if (!addressAllowed(key, exchange.address)) return REFUSALS.keyAddress;
    const { orgId } = exchange.head;
    if (orgId !== undefined && orgId.toLowerCase() !== key.org_id) return REFUSALS.orgDisagrees;
    exchange.plan = org.plan;
    return undefined;
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

function hasExpired(key: ApiKeyFact, nowMs: number): boolean {
  return key.expires_at !== null && Date.parse(key.expires_at) <= nowMs;
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
  let org = states.find((one) => one.role === role && one.plan === plan);
  if (!org) {
    org = { id, role, permissions: [...permissionsOf(role)], plan };
    states.push(org);
  }
  return org;
}
