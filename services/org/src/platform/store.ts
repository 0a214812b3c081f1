import { many, type Tx } from '@gatehouse/kit/db';
import { OrganizationRow, type Status } from '../organizations/organization.ts';

export interface OrganizationFilter {
  status: Status | undefined;
  /** Found literally in name or short name, whatever its letter case. */
  q: string | undefined;
  after: string | undefined;
  limit: number;
}

export function listOrganizations(tx: Tx, { status, q, after, limit }: OrganizationFilter) {
  return many(tx, OrganizationRow)`
    select o.id, o.name, o.slug, o.status, o.plan, o.created_at from org.organizations o
    where (${status ?? null}::text is null or o.status = ${status ?? null})
      and (${q ?? null}::text is null or strpos(lower(o.name), lower(${q ?? null})) > 0
           or strpos(o.slug, lower(${q ?? null})) > 0)
      and (${after ?? null}::uuid is null or o.id > ${after ?? null})
    order by o.id
    limit ${limit}`;
}
