import { factKey } from '@gatehouse/contracts/facts';
import type { OrgActor } from '@gatehouse/kit/actor';
import { assertProved } from '@gatehouse/kit/authorize';
import { orgTransaction } from '@gatehouse/kit/db';
import { publish } from '@gatehouse/kit/outbox';
import type { Deps } from '../deps.ts';
import { writeIn } from '../organizations/writing.ts';
import { getPolicies, type Policies, updatePolicies } from './store.ts';

export { admitsDomain, getPolicies } from './store.ts';

export function readPolicies({ pool }: Deps, orgId: string): Promise<Policies> {
  return orgTransaction(pool, orgId, (tx) => getPolicies(tx, orgId));
}

type Wish = { [K in keyof Policies]?: Policies[K] | undefined };

/** Changes what is named. The gateway holds the next request to it. */
export function changePolicies(deps: Deps, actor: OrgActor, wish: Wish): Promise<Policies> {
  return deps.operations('policies_change', () =>
    writeIn(deps, actor, 'policies:write', async ({ tx, organization: { id } }) => {
      const old = await getPolicies(tx, id);
      const named = Object.entries(wish).filter(([, value]) => value !== undefined);
      const policies: Policies = { ...old, ...Object.fromEntries(named) };
      // Who asks it of everyone has it: nobody closes the door behind themselves without knowing.
      if (policies.require_second_factor && !old.require_second_factor)
        assertProved({ fresh: false, secondFactor: true }, actor);
      await updatePolicies(tx, id, policies, deps.clock());
      const target = { type: 'organization', id };
      await publish(tx, actor, 'org.policies_changed.v1', { old, new: policies }, { target });
      await deps.facts.invalidate(factKey.org(id));
      return policies;
    }),
  );
}
