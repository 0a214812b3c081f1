import type { Actor } from '@gatehouse/kit/actor';
import { sameSecret } from '@gatehouse/kit/crypto';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { discardClaims, insertUser } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { endGuestsOf } from '../guests/guests.ts';
import { assertStrong } from '../passwords/passwords.ts';
import { foundOrganization, insertMarker, isBootstrapped } from './store.ts';

export interface BootstrapRequest {
  secret?: string | undefined;
  organization: { name: string };
  admin: { email: string; name: string; password: string };
}

/** Refuses when it has happened, before anything of the request is looked at. */
export async function assertNotBootstrapped({ pool }: Pick<Deps, 'pool'>): Promise<void> {
  if (await isBootstrapped(pool)) throw new AppError('bootstrap.completed');
}

/** Creates the first organization and the first platform admin, its owner: once, and all of it or nothing. */
export async function bootstrap(deps: Deps, actor: Actor, request: BootstrapRequest) {
  const { organization, admin } = request;
  assertSecret(deps, request.secret);
  assertStrong(deps, admin.password, [admin.email, admin.name, organization.name], '/admin/password');
  const password_hash = await deps.hasher.hash(admin.password);
  const user = { id: newId(), email: admin.email, name: admin.name, role: 'admin' as const };
  const org = { id: newId(), name: organization.name, slug: slugOf(organization.name), plan: 'free' as const };
  return transaction(deps.pool, async (tx) => {
    const now = deps.clock();
    await insertMarker(tx, { user_id: user.id, org_id: org.id, now });
    await discardClaims(tx, [user.email], now);
    await insertUser(tx, { ...user, password_hash, now });
    await endGuestsOf(deps, tx, actor, user.email);
    await foundOrganization(tx, { ...org, owner_id: user.id });
    await tell(tx, { ...actor, kind: 'user', user_id: user.id, role: 'admin' }, user, org);
    return { user, organization: org };
  });
}

function assertSecret({ config }: Deps, given: string | undefined): void {
  const wanted = config.BOOTSTRAP_SECRET;
  if (wanted === undefined) return;
  if (given === undefined || !sameSecret(given, wanted))
    throw new AppError('bootstrap.secret_wrong', 'Give the deployment\'s BOOTSTRAP_SECRET as "secret".');
}

interface Named {
  id: string;
  name: string;
}

async function tell(tx: Tx, actor: Actor, user: Named, org: Named & { slug: string; plan: string }): Promise<void> {
  const { name, slug, plan } = org;
  const options = { org_id: org.id, target: { type: 'organization', id: org.id } };
  const target = { type: 'user', id: user.id };
  await publish(tx, actor, 'auth.bootstrap_completed.v1', { user_id: user.id, org_id: org.id }, options);
  await publish(tx, actor, 'org.organization_created.v1', { name, slug, plan }, options);
  await publish(tx, actor, 'org.member_added.v1', { user_id: user.id, role: 'owner' }, { ...options, target });
}

/** The short name of the first organization; no other can have taken it. */
export function slugOf(name: string): string {
  const slug = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 48)
    .replace(/-+$/, '');
  return slug.length >= 2 ? slug : 'main';
}
