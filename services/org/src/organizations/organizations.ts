import type { Plan } from '@gatehouse/contracts/identity';
import type { OrgActor, UserActor } from '@gatehouse/kit/actor';
import { orgTransaction, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import { forgetOrganization } from '../api-keys/api-keys.ts';
import type { Deps } from '../deps.ts';
import type { Organization, Status } from './organization.ts';
import { slugOf, withSuffix } from './slug.ts';
import * as store from './store.ts';
import { writeIn } from './writing.ts';

export const Position = z.tuple([z.uuid()]);
const target = (id: string) => ({ type: 'organization', id });

/** Founds an organization: its creator is its first owner. A user may found a bounded number. */
export function createOrganization(deps: Deps, actor: UserActor, wish: { name: string; slug?: string | undefined }) {
  const { pool, clock, limits, operations } = deps;
  return operations('organization_create', () => {
    const id = newId();
    return orgTransaction(pool, id, async (tx) => {
      const now = clock();
      if ((await store.countFounded(tx, actor.user_id, now)) >= limits.organizationsPerUser)
        throw new AppError('org.limit_reached', `You may found ${limits.organizationsPerUser} organizations.`);
      const organization = await insertUnderFreeSlug(tx, { id, ...wish, founder: actor.user_id, now });
      await store.insertFounder(tx, id, actor.user_id, now);
      const { name, slug, plan } = organization;
      await publish(tx, actor, 'org.organization_created.v1', { name, slug, plan }, { org_id: id, target: target(id) });
      return organization;
    });
  });
}

interface Wish {
  id: string;
  name: string;
  slug?: string | undefined;
  founder: string;
  now: Date;
}

async function insertUnderFreeSlug(tx: Tx, wish: Wish): Promise<Organization> {
  const plain = slugOf(wish.name);
  for (const slug of wish.slug ? [wish.slug] : [plain, withSuffix(plain), withSuffix(plain)]) {
    const organization = await store.insertOrganization(tx, { ...wish, slug });
    if (organization) return organization;
  }
  throw new AppError('org.slug_taken', 'Another organization has this short name.');
}

export async function listOwnOrganizations({ pool }: Deps, actor: UserActor, { limit, cursor }: Page) {
  const scope = `organizations-of:${actor.user_id}`;
  const after = decodeCursor(scope, Position, cursor)?.[0];
  const rows = await store.listOrganizationsOf(pool, actor.user_id, after, limit + 1);
  return toPage(rows, limit, scope, ({ id }) => [id]);
}

export function getOrganization({ pool }: Deps, orgId: string): Promise<Organization> {
  return orgTransaction(pool, orgId, async (tx) => {
    const organization = await store.findOrganization(tx, orgId);
    if (!organization || organization.status === 'deleted') throw new AppError('org.not_found');
    return organization;
  });
}

export function updateOrganization(
  deps: Deps,
  actor: OrgActor,
  wish: { name?: string | undefined; slug?: string | undefined },
) {
  return deps.operations('organization_update', () =>
    writeIn(deps, actor, 'organization:write', async ({ tx, organization: { id, name, slug } }) => {
      const profile = { name: wish.name ?? name, slug: wish.slug ?? slug };
      const changed = await store.updateProfile(tx, { id, ...profile, now: deps.clock() });
      const change = { old: { name, slug }, new: profile };
      await publish(tx, actor, 'org.organization_changed.v1', change, { target: target(id) });
      return changed;
    }),
  );
}

/**
 * Deletes an organization for everyone in it at once. Its rows stay for thirty days, in which a platform admin can bring
 * it back; then the nightly clean-up removes them: see org.cleanup.
 */
export function deleteOrganization(deps: Deps, actor: OrgActor): Promise<void> {
  return deps.operations('organization_delete', () =>
    writeIn(deps, actor, 'organization:delete', async ({ tx, organization: { id, name, slug } }) => {
      await changeStanding(deps, tx, id, { status: 'deleted' });
      await publish(tx, actor, 'org.organization_deleted.v1', { name, slug }, { target: target(id) });
    }),
  );
}

interface Standing {
  status?: Status | undefined;
  plan?: Plan | undefined;
}

/** Changes state or plan and tells both old and new; the gateway asks anew about the organization and its keys. */
export async function changeStanding(deps: Deps, tx: Tx, id: string, { status, plan }: Standing) {
  const organization = await store.lockOrganization(tx, id);
  if (!organization) throw new AppError('org.not_found', 'No such organization.');
  const old = { status: organization.status, plan: organization.plan };
  const standing = { status: status ?? old.status, plan: plan ?? old.plan };
  const changed = await store.updateStanding(tx, { id, ...standing, now: deps.clock() });
  await forgetOrganization(deps, tx, id);
  return { old, new: standing, organization: changed };
}
