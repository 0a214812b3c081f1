import {
  type ApiKeyFact,
  factKey,
  type GuardFact,
  type GuardFacts,
  guardKey,
  type MemberFact,
  type OrgFact,
} from '@gatehouse/contracts/facts';
import { AppError } from '@gatehouse/kit/errors';
import { errorFields } from '@gatehouse/kit/log';
import { touchKey } from '../api-keys/api-keys.ts';
import { keyFact } from '../api-keys/fact.ts';
import type { Deps } from '../deps.ts';
import { findGuards, findKeyByHash, type Key, type Pair } from './store.ts';

const TOUCH_EVERY_MS = 60_000;
const NOTHING: GuardFact = { org: null, member: null };

/** Whether the organization is there and what the user is in it; cached for the gateway's next questions. */
export async function getGuard(deps: Deps, pair: Pair): Promise<GuardFact> {
  const { guards } = await getGuards(deps, [pair]);
  return guards[guardKey(pair.org_id, pair.user_id)] ?? NOTHING;
}

/** The same for many, in one statement and one trip to the cache. */
export async function getGuards({ pool, facts }: Deps, pairs: readonly Pair[]): Promise<GuardFacts> {
  const guards: GuardFacts['guards'] = {};
  for (const { org_id, user_id } of pairs) guards[guardKey(org_id, user_id)] = NOTHING;
  const cached = new Map<string, OrgFact | MemberFact>();
  for (const { org_id, user_id, role, ...state } of await findGuards(pool, pairs)) {
    const org: OrgFact = { id: org_id, ...state };
    const member = role ? { role } : null;
    guards[guardKey(org_id, user_id)] = { org, member };
    cached.set(factKey.org(org_id), org);
    // A membership that is not there is not cached: auth admits users by a door that knows nothing of the cache.
    if (member) cached.set(factKey.member(org_id, user_id), member);
  }
  await facts.fillAll([...cached]);
  return { guards };
}

/** What a key may do, and whether it and its organization are alive. */
export async function getApiKey(deps: Deps, hash: string, address: string): Promise<ApiKeyFact> {
  const key = await findKeyByHash(deps.pool, Buffer.from(hash, 'hex'));
  if (!key) throw new AppError('not_found');
  const fact = keyFact(key, deps.clock());
  if (fact.active) await noteUse(deps, key, address);
  await deps.facts.fill(factKey.apiKey(hash), fact);
  return fact;
}

/** The gateway asks at most every few seconds, and of those only one a minute is written. A failure costs no answer. */
async function noteUse(
  { pool, clock, log }: Deps,
  { org_id, key_id, last_used_at }: Key,
  address: string,
): Promise<void> {
  const now = clock();
  if (last_used_at && now.getTime() - last_used_at.getTime() < TOUCH_EVERY_MS) return;
  await touchKey(pool, { orgId: org_id, keyId: key_id, address, now }).catch((error) =>
    log.warn('the last use of an API key could not be noted', { 'key.id': key_id, ...errorFields(error) }),
  );
}
