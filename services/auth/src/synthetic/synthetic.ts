import { systemActor } from '@gatehouse/kit/actor';
import type { Clock } from '@gatehouse/kit/clock';
import { type Pool, type Tx, transaction } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import type { Config } from '../config.ts';
import type { Deps } from '../deps.ts';
import { giveTotp } from '../factors/given.ts';
import type { Hasher } from '../passwords/hasher.ts';
import { endSessionsOf } from '../sessions/sessions.ts';
import { secondFactorRequired } from '../sign-in/policy.ts';
import { forgetLeftovers, type Known, keepOrganization, listKnown, lockSynthetic, putAccount } from './store.ts';

export interface SyntheticPerson {
  id: string;
  email: string;
  name: string;
  password: string;
  /** Of the authenticator app, in base32: used where everybody must have a second factor. */
  seed: string;
}

/** An organization and two people in it that deploys are checked with: nobody's, and known by their ids. */
export interface SyntheticTenant {
  org_id: string;
  name: string;
  owner: SyntheticPerson;
  viewer: SyntheticPerson;
}

interface SyntheticDeps {
  pool: Pool;
  clock: Clock;
  hasher: Pick<Hasher, 'hash' | 'verify'>;
  config: Pick<Config, 'SECOND_FACTOR_REQUIRED_FOR'>;
  secrets: Pick<Deps['secrets'], 'factors'>;
}

export interface Kept {
  founded: boolean;
  /** People whose password, or address, was another one: their sessions have ended. */
  renewed: number;
  /** Accounts that earlier checks have left. */
  removed: number;
}

/** Longer than any check: what is older than this was left by one that was killed. */
const LEFTOVER_MS = 10 * 60_000;
const TRIES = 5;
/** As an import does: what the gateway remembers of a session ends by itself, within seconds. */
const WITHOUT_REDIS = { invalidate: async () => undefined };

/**
 * Makes the synthetic tenant, or makes it again what it should be, and removes what checks have left. The mark of the
 * bootstrap is not looked at and not set: neither the organization nor its owner is the first of the platform.
 */
export async function keepSynthetic(deps: SyntheticDeps, tenant: SyntheticTenant): Promise<Kept> {
  const people = [tenant.owner, tenant.viewer];
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    // Hashed outside the transaction: whoever comes at the same time would wait for it longer than a lock may take.
    const found = await listKnown(deps.pool, idsOf(people));
    const hashes = new Map<string, string>();
    for (const person of people) hashes.set(person.id, await hashFor(deps, person, found));
    const kept = await transaction(deps.pool, (tx) => keepIn(deps, tx, tenant, { found, hashes }));
    if (kept) return kept;
  }
  throw new Error('the synthetic tenant is being changed all the time');
}

const idsOf = (people: readonly SyntheticPerson[]) => people.map(({ id }) => id);

/** The stored hash while it is right: hashed anew, it would look like another password. */
async function hashFor({ hasher }: SyntheticDeps, { id, password }: SyntheticPerson, found: Known[]): Promise<string> {
  const stored = found.find((known) => known.id === id)?.password_hash;
  if (stored) {
    const { matches, outdated } = await hasher.verify(stored, password);
    if (matches && !outdated) return stored;
  }
  return hasher.hash(password);
}

interface Before {
  found: Known[];
  hashes: ReadonlyMap<string, string>;
}

/** Undefined when somebody has changed the people since they were looked at. */
async function keepIn(
  deps: SyntheticDeps,
  tx: Tx,
  tenant: SyntheticTenant,
  { found, hashes }: Before,
): Promise<Kept | undefined> {
  const { org_id, name, owner, viewer } = tenant;
  const people = [owner, viewer];
  const now = deps.clock();
  const before = new Date(now.getTime() - LEFTOVER_MS);
  const actor = systemActor('deploy', newId());
  await lockSynthetic(tx);
  const byId = (known: Known[], id: string) => JSON.stringify(known.find((one) => one.id === id) ?? null);
  const held = await listKnown(tx, idsOf(people));
  if (people.some(({ id }) => byId(held, id) !== byId(found, id))) return undefined;

  let renewed = 0;
  for (const person of people) {
    const { id, email } = person;
    const password_hash = hashes.get(id) ?? '';
    const known = held.find((one) => one.id === id);
    await putAccount(tx, { id, email, name: person.name, password_hash, now });
    const required = secondFactorRequired(deps.config, 'user');
    await giveTotp(deps, tx, { user_id: id, secret: required ? person.seed : undefined, now });
    if (!known || (known.password_hash === password_hash && known.email === email)) continue;
    renewed += 1;
    await endSessionsOf({ clock: deps.clock, facts: WITHOUT_REDIS }, tx, actor, id, 'password_changed');
    await publish(tx, actor, 'auth.password_changed.v1', { user_id: id }, { target: { type: 'user', id } });
  }
  const founded = await keepOrganization(tx, { org_id, name, owner_id: owner.id, viewer_id: viewer.id, before });
  if (founded) await tellFounded(tx, tenant);
  const removed = await forgetLeftovers(tx, org_id, idsOf(people), before);
  return { founded, renewed, removed };
}

async function tellFounded(tx: Tx, { org_id, name, owner, viewer }: SyntheticTenant): Promise<void> {
  const actor = systemActor('deploy', newId());
  const created = { name, slug: 'synthetic-deploy-checks', plan: 'free' };
  const target = { type: 'organization', id: org_id };
  await publish(tx, actor, 'org.organization_created.v1', created, { org_id, target });
  for (const [{ id }, role] of [[owner, 'owner'] as const, [viewer, 'viewer'] as const])
    await publish(tx, actor, 'org.member_added.v1', { user_id: id, role }, { org_id, target: { type: 'user', id } });
}
