import { factKey } from '@gatehouse/contracts/facts';
import type { OrgPermission, OrgRole } from '@gatehouse/contracts/permissions';
import type { OrgActor } from '@gatehouse/kit/actor';
import { assertProved } from '@gatehouse/kit/authorize';
import { orgTransaction, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, type PageOf, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { writeIn } from '../organizations/writing.ts';
import { refuseRemoval, refuseRoleChange } from './rules.ts';
import * as store from './store.ts';

export { findPeople } from './store.ts';

export const Member = store.Membership.extend({ email: z.string().nullable(), name: z.string().nullable() });
export type Member = z.infer<typeof Member>;

const Position = z.tuple([z.uuid()]);
const target = (userId: string) => ({ type: 'user', id: userId });

export async function listMembers({ pool }: Deps, orgId: string, { limit, cursor }: Page): Promise<PageOf<Member>> {
  const scope = `members:${orgId}`;
  const after = decodeCursor(scope, Position, cursor)?.[0];
  const rows = await orgTransaction(pool, orgId, (tx) => store.listMemberships(tx, orgId, after, limit + 1));
  const page = toPage(rows, limit, scope, ({ user_id }) => [user_id]);
  const ids = page.data.map(({ user_id }) => user_id);
  const people = new Map((await store.findPeople(pool, ids)).map((person) => [person.id, person]));
  const data = page.data.map((row) => {
    const person = people.get(row.user_id);
    return { ...row, email: person?.email ?? null, name: person?.name ?? null };
  });
  return { ...page, data };
}

export function changeRole(deps: Deps, actor: OrgActor, userId: string, role: OrgRole): Promise<store.Membership> {
  return deps.operations('member_role_change', () =>
    writeIn(deps, actor, 'members:write', async ({ tx, organization: { id }, acting }) => {
      const member = await getMembership(tx, id, userId);
      if (member.role === role) return member;
      const owners = await store.countOwners(tx, id);
      refuse(refuseRoleChange({ acting, from: member.role, to: role, owners }));
      if (role === 'owner') assertProved({ fresh: true, secondFactor: false }, actor);
      const changed = await store.updateRole(tx, id, userId, role);
      const change = { user_id: userId, old: { role: member.role }, new: { role } };
      await publish(tx, actor, 'org.member_role_changed.v1', change, { target: target(userId) });
      await deps.facts.invalidate(factKey.member(id, userId));
      return changed;
    }),
  );
}

export function removeMember(deps: Deps, actor: OrgActor, userId: string): Promise<void> {
  return deps.operations('member_remove', () => end(deps, actor, userId, 'members:write', 'org.member_removed.v1'));
}

export function leaveOrganization(deps: Deps, actor: OrgActor): Promise<void> {
  return deps.operations('member_leave', () =>
    end(deps, actor, actor.user_id, 'organization:read', 'org.member_left.v1'),
  );
}

type EndEvent = 'org.member_removed.v1' | 'org.member_left.v1';

function end(deps: Deps, actor: OrgActor, userId: string, permission: OrgPermission, event: EndEvent): Promise<void> {
  return writeIn(deps, actor, permission, async ({ tx, organization: { id }, acting }) => {
    const { role } = await getMembership(tx, id, userId);
    const owners = await store.countOwners(tx, id);
    refuse(refuseRemoval({ acting, from: role, owners }));
    await store.deleteMembership(tx, id, userId, deps.clock());
    await publish(tx, actor, event, { user_id: userId, role }, { target: target(userId) });
    await deps.facts.invalidate(factKey.member(id, userId));
  });
}

export async function getMembership(tx: Tx, orgId: string, userId: string): Promise<store.Membership> {
  const member = await store.findMembership(tx, orgId, userId);
  if (!member) throw new AppError('org.member_not_found', 'No such member.');
  return member;
}

function refuse(code: ReturnType<typeof refuseRoleChange>): void {
  if (code) throw new AppError(code);
}
