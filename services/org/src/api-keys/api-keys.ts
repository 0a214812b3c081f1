import { factKey, type KeyRule } from '@gatehouse/contracts/facts';
import type { OrgActor } from '@gatehouse/kit/actor';
import { networkOf } from '@gatehouse/kit/addresses';
import { orgTransaction, type Pool, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { decodeCursor, type Page, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { writeIn } from '../organizations/writing.ts';
import { limitsOf } from '../plans/limits.ts';
import { newKey } from './key.ts';
import { expiryOf } from './limits.ts';
import * as store from './store.ts';

export { countKeysInUse } from './store.ts';

const Position = z.tuple([z.uuid()]);
const target = (keyId: string) => ({ type: 'api_key', id: keyId });
const factOf = ({ hash }: { hash: Buffer }) => factKey.apiKey(hash.toString('hex'));

interface KeyWish {
  name: string;
  scopes: string[];
  rules: KeyRule[];
  addresses: string[];
  expires_at?: string | undefined;
}

/** Makes a key. What is stored, also for a repeated request, is the row: the key itself is in this answer only. */
export function createKey(deps: Deps, actor: OrgActor, wish: KeyWish) {
  return deps.operations('api_key_create', async () => {
    const secret = newKey(deps.environment);
    const row = await writeIn(deps, actor, 'api_keys:write', async ({ tx, organization: { id, plan } }) => {
      const now = deps.clock();
      const { api_keys: limit } = limitsOf(plan);
      if ((await store.countKeysInUse(tx, id, now)) >= limit)
        throw new AppError('api_key.limit_reached', `The plan allows ${limit} API keys at a time.`);
      return addKey(tx, actor, { ...secret, ...wish, expires_at: getExpiry(wish.expires_at, now), created_at: now });
    });
    return { ...row, key: secret.key };
  });
}

type KeyParts = Pick<
  store.NewApiKey,
  'name' | 'prefix' | 'hash' | 'scopes' | 'rules' | 'addresses' | 'created_at' | 'expires_at'
>;

async function addKey(tx: Tx, actor: OrgActor, parts: KeyParts): Promise<store.ApiKey> {
  const id = newId();
  const row = await store.insertKey(tx, { ...parts, id, org_id: actor.org.id, created_by: actor.user_id });
  const { name, prefix, scopes, rules, addresses, expires_at } = row;
  const data = { key_id: id, name, prefix, scopes, rules, addresses, expires_at };
  await publish(tx, actor, 'org.api_key_created.v1', data, { target: target(id) });
  return row;
}

function getExpiry(asked: string | undefined, now: Date): Date {
  const expiry = expiryOf(asked, now);
  if (expiry) return expiry;
  const message = 'must lie in the future, at most two years ahead';
  throw new AppError('request.invalid', undefined, { details: [{ pointer: '/expires_at', message }] });
}

export async function listKeys({ pool }: Deps, orgId: string, { limit, cursor }: Page) {
  const scope = `api-keys:${orgId}`;
  const before = decodeCursor(scope, Position, cursor)?.[0];
  const rows = await orgTransaction(pool, orgId, (tx) => store.listKeys(tx, orgId, before, limit + 1));
  return toPage(rows, limit, scope, ({ id }) => [id]);
}

interface Rotation {
  keyId: string;
  overlapSeconds: number;
  expires_at?: string | undefined;
}

/**
 * Replaces a key by a new one that may do the same. The old one lives on for the overlap, so that its users can
 * change over; what the old one itself replaced ends now, so that at most two generations are alive.
 */
export function rotateKey(deps: Deps, actor: OrgActor, { keyId, overlapSeconds, expires_at }: Rotation) {
  return deps.operations('api_key_rotate', async () => {
    const secret = newKey(deps.environment);
    const row = await writeIn(deps, actor, 'api_keys:write', async ({ tx, organization: { id } }) => {
      const now = deps.clock();
      const old = await getKey(tx, id, keyId);
      // By its overlap: the successor that it names is forgotten sooner when it was revoked sooner.
      if (old.revoked_at || old.overlap_until || new Date(old.expires_at) <= now)
        throw new AppError('api_key.not_usable');
      const lifetimeMs = Date.parse(old.expires_at) - Date.parse(old.created_at);
      const expiry = expires_at ? getExpiry(expires_at, now) : new Date(now.getTime() + lifetimeMs);
      const { name, scopes, rules, addresses } = old;
      const parts = { ...secret, name, scopes, rules, addresses, created_at: now, expires_at: expiry };
      const successor = await addKey(tx, actor, parts);
      const until = new Date(Math.min(now.getTime() + overlapSeconds * 1000, Date.parse(old.expires_at)));
      await store.updateReplaced(tx, keyId, successor.id, until);
      const ended = await store.endOverlapOfPredecessors(tx, keyId, now);
      const data = { key_id: keyId, replaced_by: successor.id, overlap_until: until.toISOString() };
      await publish(tx, actor, 'org.api_key_rotated.v1', data, { target: target(keyId) });
      await deps.facts.invalidate(factOf(old), ...ended.map(factOf));
      return successor;
    });
    return { ...row, key: secret.key };
  });
}

/** Calls a key something else: all of it that can change. */
export function renameKey(deps: Deps, actor: OrgActor, keyId: string, name: string): Promise<store.ApiKey> {
  return deps.operations('api_key_rename', () =>
    writeIn(deps, actor, 'api_keys:write', async ({ tx, organization: { id } }) => {
      const key = await getKey(tx, id, keyId);
      if (key.name === name) return key;
      const data = { key_id: keyId, old: { name: key.name }, new: { name } };
      await publish(tx, actor, 'org.api_key_renamed.v1', data, { target: target(keyId) });
      return store.updateName(tx, keyId, name);
    }),
  );
}

/** Ends a key at once. Revoking it again changes nothing. */
export function revokeKey(deps: Deps, actor: OrgActor, keyId: string): Promise<void> {
  return deps.operations('api_key_revoke', () =>
    writeIn(deps, actor, 'api_keys:write', async ({ tx, organization: { id } }) => {
      const key = await getKey(tx, id, keyId);
      if (key.revoked_at) return;
      await store.updateRevoked(tx, keyId, deps.clock());
      await publish(tx, actor, 'org.api_key_revoked.v1', { key_id: keyId, name: key.name }, { target: target(keyId) });
      await deps.facts.invalidate(factOf(key));
    }),
  );
}

async function getKey(tx: Tx, orgId: string, keyId: string) {
  const key = await store.findKey(tx, orgId, keyId);
  if (!key) throw new AppError('api_key.not_found', 'No such API key.');
  return key;
}

/** Makes the gateway ask anew about an organization and everything that depends on its state. */
export async function forgetOrganization({ facts, clock }: Deps, tx: Tx, orgId: string): Promise<void> {
  const hashes = await store.listHashesInUse(tx, orgId, clock());
  await facts.invalidate(factKey.org(orgId), ...hashes.map(factOf));
}

interface Use {
  orgId: string;
  keyId: string;
  /** From where. */
  address: string;
  now: Date;
}

/** Notes that a key was used, and from which network; at most one write a minute, however often it is. */
export function touchKey(pool: Pool, { orgId, keyId, address, now }: Use): Promise<void> {
  return orgTransaction(pool, orgId, (tx) => store.touchKey(tx, keyId, networkOf(address), now));
}
