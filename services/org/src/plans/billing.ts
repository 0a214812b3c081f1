import { requestsKey } from '@gatehouse/contracts/plans';
import { orgTransaction } from '@gatehouse/kit/db';
import { errorFields } from '@gatehouse/kit/log';
import type { Deps } from '../deps.ts';
import { getOrganization } from '../organizations/organizations.ts';
import { limitsOf } from './limits.ts';
import { countUsage } from './store.ts';

/** The plan of an organization, what it gives, and what of that is used. */
export async function getBilling(deps: Deps, orgId: string) {
  const now = deps.clock();
  const { plan } = await getOrganization(deps, orgId);
  const used = await orgTransaction(deps.pool, orgId, (tx) => countUsage(tx, orgId, now));
  return { plan, limits: limitsOf(plan), used: { ...used, requests_today: await countRequests(deps, orgId, now) } };
}

/** What the gateways counted since midnight (UTC); null when their counts cannot be read. */
async function countRequests({ redis, log }: Deps, orgId: string, now: Date): Promise<number | null> {
  try {
    const counts = await redis.hvals(requestsKey(orgId, now.getTime() / 1000));
    return counts.reduce((sum, count) => sum + Number(count), 0);
  } catch (error) {
    log.warn('the requests of today could not be read', errorFields(error));
    return null;
  }
}
