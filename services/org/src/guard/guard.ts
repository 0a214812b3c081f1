import { type ApiKeyFact, factKey, type GuardFact, type OrgFact } from '@gatehouse/contracts/facts';
import { AppError } from '@gatehouse/kit/errors';
import { errorFields } from '@gatehouse/kit/log';
import { touchKey } from '../api-keys/api-keys.ts';
import { keyFact } from '../api-keys/fact.ts';
import type { Deps } from '../deps.ts';
import { findGuard, findKeyByHash, type Key } from './store.ts';

const TOUCH_EVERY_MS = 60_000;

/** Whether the organization is there and what the user is in it; cached for the gateway's next questions. */
export async function getGuard({ pool, facts }: Deps, orgId: string, userId: string): Promise<GuardFact> {
  const row = await findGuard(pool, orgId, userId);
  if (!row) return { org: null, member: null };
  const { role, ...state } = row;
  const org: OrgFact = { id: orgId, ...state };
  // A membership that is not there is not cached: auth admits users by a door that knows nothing of the cache.
  const member = role ? { role } : null;
  await Promise.all([
    facts.fill(factKey.org(orgId), org),
    member ? facts.fill(factKey.member(orgId, userId), member) : undefined,
  ]);
  return { org, member };
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
