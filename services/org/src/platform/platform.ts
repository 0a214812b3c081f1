import type { Plan } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { platformTransaction } from '@gatehouse/kit/db';
import { publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { appointOwner, assertOwned } from '../members/ownership.ts';
import type { Organization, Status } from '../organizations/organization.ts';
import { changeStanding } from '../organizations/organizations.ts';
import { listOrganizations } from './store.ts';

const Position = z.tuple([z.uuid()]);

interface Filter extends Page {
  status?: Status | undefined;
  q?: string | undefined;
}

export async function listAllOrganizations({ pool }: Deps, { limit, cursor, status, q }: Filter) {
  const scope = `organizations:${JSON.stringify([status, q])}`;
  const after = decodeCursor(scope, Position, cursor)?.[0];
  const rows = await platformTransaction(pool, (tx) => listOrganizations(tx, { status, q, after, limit: limit + 1 }));
  return toPage(rows, limit, scope, ({ id }) => [id]);
}

interface Decision {
  status?: Exclude<Status, 'deleted'> | undefined;
  plan?: Plan | undefined;
  owner_id?: string | undefined;
  reason: string;
}

/**
 * Suspends an organization, lets it work again (also one that was deleted), or changes its plan. One that lost its last
 * owner with an account comes back only with a new one.
 */
export function administerOrganization(
  deps: Deps,
  actor: UserActor,
  orgId: string,
  { status, plan, owner_id, reason }: Decision,
): Promise<Organization> {
  return deps.operations('organization_administer', () =>
    platformTransaction(deps.pool, async (tx) => {
      const { organization, ...change } = await changeStanding(deps, tx, orgId, { status, plan });
      if (owner_id) await appointOwner(deps, tx, actor, { orgId, userId: owner_id });
      else if (organization.status !== 'deleted') await assertOwned(tx, orgId);
      const target = { type: 'organization', id: orgId };
      await publish(tx, actor, 'org.organization_administered.v1', { reason, ...change }, { org_id: orgId, target });
      return organization;
    }),
  );
}
