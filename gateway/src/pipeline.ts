import { IDENTITY_HEADER } from '@gatehouse/contracts/identity';
import type { AccessTokens, TokenFault } from './credentials/access-tokens.ts';
import type { createApiKeys } from './credentials/api-keys.ts';
import { type Credential, readCredential } from './credentials/credentials.ts';
import { planUsedUp, REFUSALS, type Refusal, rateLimited } from './errors/problem.ts';
import type { Exchange } from './exchange.ts';
import { keepsSessions, type Target } from './forward/targets.ts';
import type { Guard } from './guard/guard.ts';
import type { Identities } from './identity/identities.ts';
import type { PolicyName } from './quota/meters.ts';
import type { Quota, Spent } from './quota/quota.ts';
import { ownCookies } from './requests/cookies.ts';

/** Undefined: go on. A promise: something must be loaded, then the same step is asked again. */
type Verdict = undefined | Refusal | Promise<void>;
type Step = (exchange: Exchange) => Verdict;

/** More questions than any request has: a guard against going round for ever. */
const WAITS_MAX = 16;

interface Options {
  accessTokens: AccessTokens;
  apiKeys: ReturnType<typeof createApiKeys>;
  guard: Guard;
  quota: Quota;
  targets: ReadonlyMap<string, Target>;
  upstreams: ReadonlyMap<string, Target>;
  countTokenFault: (fault: TokenFault) => void;
  countLimited: (policy: PolicyName) => void;
}

export interface Admission {
  /** Runs the steps; calls back at once when nothing must be waited for. `refusal` undefined: admitted. */
  admit(exchange: Exchange, done: (exchange: Exchange, refusal: Refusal | undefined) => void): void;
  /** Judges an open connection's principal again, as it stands now; false when it is dead or could not be asked. */
  stillAdmitted(exchange: Exchange): Promise<boolean>;
}

/**
 * The decision about a request, step by step. Each step is synchronous where its answer is remembered, which is nearly
 * always: a request in the middle of a busy second costs no promise.
 */
export function createAdmission(options: Options): Admission {
  const { accessTokens, apiKeys, guard, quota, targets, upstreams, countTokenFault, countLimited } = options;

  const spendAddress: Step = (exchange) => {
    const spent = quota.spend('address', exchange.limiterKey, 'free');
    return spent instanceof Promise ? spent : settle(exchange, spent);
  };

  const objectToFault: Step = ({ fault }) => fault;

  function settle(exchange: Exchange, spent: Spent): Verdict {
    exchange.spent = exchange.spent === undefined ? spent : quota.tighter(exchange.spent, spent);
    if (!spent.refused) return undefined;
    countLimited(spent.meter.policy);
    const seconds = quota.retryAfterSeconds(spent);
    return spent.meter.policy === 'org' ? planUsedUp(spent.limits[0] as number, seconds) : rateLimited(seconds);
  }

  const identify: Step = (exchange) => {
    const credential = readCredential(exchange.head);
    if (credential.kind === 'none') return exchange.isPublic ? undefined : REFUSALS.anonymous;
    return fromCredential(exchange, credential);
  };

  function fromCredential(exchange: Exchange, credential: Exclude<Credential, { kind: 'none' }>): Verdict {
    switch (credential.kind) {
      case 'ambiguous':
        return REFUSALS.ambiguousCredential;
      case 'malformed':
        return REFUSALS.badCredential;
      case 'api_key':
        exchange.principal = apiKeys.read(credential.key);
        return undefined;
    }
    const verdict = accessTokens.read(credential.token);
    if (verdict instanceof Promise) return verdict;
    if (typeof verdict === 'object') {
      exchange.principal = verdict;
      return undefined;
    }
    countTokenFault(verdict);
    // Clients send what they have: an expired token must not keep them from getting a new one.
    return verdict === 'expired' && exchange.isPublic ? undefined : REFUSALS.badCredential;
  }

  const spendPrincipal: Step = (exchange) => {
    const { principal, plan, standing } = exchange;
    if (principal.kind === 'anonymous') return undefined;
    const spent =
      principal.kind === 'user'
        ? quota.spend('user', principal.user_id, plan)
        : quota.spend('key', standing.key_id ?? principal.hash, plan);
    return spent instanceof Promise ? spent : settle(exchange, spent);
  };

  /** The requests of a day that the organization's plan allows. */
  const spendOrganization: Step = (exchange) => {
    if (exchange.quotaOrg === undefined) return undefined;
    const spent = quota.spend('org', exchange.quotaOrg, exchange.plan);
    if (spent instanceof Promise) return spent;
    if (!spent.refused || !administers(exchange)) return settle(exchange, spent);
    exchange.spent = spent;
    return undefined;
  };

  const findTarget: Step = (exchange) => (targetOf(exchange) ? undefined : REFUSALS.upstreamUnknown);

  function targetOf({ route }: Exchange): Target | undefined {
    if (route === undefined) return undefined;
    return (route.kind === 'service' ? targets : upstreams).get(route.target);
  }

  const steps: readonly Step[] = [
    spendAddress,
    objectToFault,
    identify,
    guard.judge,
    spendPrincipal,
    spendOrganization,
    findTarget,
  ];

  function admit(exchange: Exchange, done: (exchange: Exchange, refusal: Refusal | undefined) => void): void {
    while (exchange.step < steps.length) {
      const verdict = (steps[exchange.step] as Step)(exchange);
      if (verdict === undefined) {
        exchange.step += 1;
        continue;
      }
      if (!(verdict instanceof Promise)) return done(exchange, verdict);
      exchange.waits += 1;
      if (exchange.waits > WAITS_MAX) return done(exchange, REFUSALS.unavailable);
      verdict.then(
        () => admit(exchange, done),
        () => done(exchange, REFUSALS.unavailable),
      );
      return;
    }
    exchange.decision = 'ok';
    done(exchange, undefined);
  }

  return {
    admit,
    async stillAdmitted(exchange) {
      for (let waits = 0; waits < WAITS_MAX; waits++) {
        const verdict = guard.judge(exchange);
        if (verdict === undefined) return true;
        if (!(verdict instanceof Promise)) return false;
        await verdict;
      }
      return false;
    },
  };
}

/**
 * Whoever answers for the plan may still look after the organization when its requests are used up: to see what used
 * them, and to revoke the key that did. Else a stolen key, or any member, would keep its owners out until midnight.
 */
function administers({ route, standing }: Exchange): boolean {
  return route?.kind === 'service' && standing.org?.permissions.includes('billing:read') === true;
}

interface OutgoingOptions {
  identities: Identities;
  /** Headers that never change, as a flat list. */
  fixed: readonly string[];
}

/** The request's headers for its target: what may pass, then ours, which nothing of the client's can follow. */
export function createOutgoingHeaders({ identities, fixed }: OutgoingOptions) {
  return (exchange: Exchange, target: Target): string[] => {
    const headers = exchange.head.forward;
    const { cookie } = exchange.head;
    if (cookie !== undefined && keepsSessions(target)) {
      const own = ownCookies(cookie);
      if (own !== undefined) headers.push('cookie', own);
    }
    headers.push(
      IDENTITY_HEADER,
      identities.tokenFor(exchange.principal, exchange.standing, target.name),
      'x-request-id',
      exchange.requestId,
      'traceparent',
      exchange.traceparent,
      'x-forwarded-for',
      exchange.address,
    );
    for (const part of fixed) headers.push(part);
    return headers;
  };
}

export type OutgoingHeaders = ReturnType<typeof createOutgoingHeaders>;
