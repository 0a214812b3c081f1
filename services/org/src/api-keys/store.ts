import { KeyRule } from '@gatehouse/contracts/facts';
import { many, maybe, one, run, sql, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import { StoredTime } from '../time.ts';

const Time = z.iso.datetime();

/** An API key as everyone but its first reader sees it: never the key, never its hash. */
export const ApiKey = z.object({
  id: z.uuid(),
  name: z.string(),
  prefix: z.string(),
  scopes: z.array(z.string()),
  rules: z.array(KeyRule),
  addresses: z.array(z.string()),
  created_by: z.uuid(),
  created_at: Time,
  expires_at: Time,
  revoked_at: Time.nullable(),
  replaced_by: z.uuid().nullable(),
  overlap_until: Time.nullable(),
  last_used_at: Time.nullable(),
  /** An IPv4 /24 or an IPv6 /64. */
  last_used_network: z.string().nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;

const Row = ApiKey.extend({
  created_at: StoredTime,
  expires_at: StoredTime,
  revoked_at: StoredTime.nullable(),
  overlap_until: StoredTime.nullable(),
  last_used_at: StoredTime.nullable(),
});
const RowWithHash = Row.extend({ hash: z.instanceof(Buffer) });
const Hash = z.object({ hash: z.instanceof(Buffer) });

const columns = sql`k.id, k.name, k.prefix, k.scopes, k.rules, k.addresses, k.created_by, k.created_at, k.expires_at,
  k.revoked_at, k.replaced_by, k.overlap_until, k.last_used_at, k.last_used_network`;

/**
 * Keys that count against the limit: those that may be used, and of two generations one. A key in its overlap counts
 * when its successor is dead, or revoking that would make room for another key.
 */
export async function countKeysInUse(tx: Tx, orgId: string, now: Date): Promise<number> {
  const row = await one(tx, z.object({ keys: z.number() }))`
    select count(*)::integer as keys from org.api_keys k
    where k.org_id = ${orgId} and k.revoked_at is null and k.expires_at > ${now}
      and (k.overlap_until is null or k.overlap_until > ${now} and not exists (
        select 1 from org.api_keys s
        where s.id = k.replaced_by and s.revoked_at is null and s.expires_at > ${now}))`;
  return row.keys;
}

export interface NewApiKey {
  id: string;
  org_id: string;
  name: string;
  prefix: string;
  hash: Buffer;
  scopes: string[];
  rules: KeyRule[];
  addresses: string[];
  created_by: string;
  created_at: Date;
  expires_at: Date;
}

export function insertKey(tx: Tx, key: NewApiKey): Promise<ApiKey> {
  return one(tx, Row)`
    insert into org.api_keys as k (id, org_id, name, prefix, hash, scopes, rules, addresses, created_by, created_at,
                                   expires_at)
    values (${key.id}, ${key.org_id}, ${key.name}, ${key.prefix}, ${key.hash}, ${key.scopes},
            ${JSON.stringify(key.rules)}::jsonb, ${key.addresses}, ${key.created_by}, ${key.created_at},
            ${key.expires_at})
    returning ${columns}`;
}

/** Newest first. */
export function listKeys(tx: Tx, orgId: string, before: string | undefined, limit: number) {
  return many(tx, Row)`
    select ${columns} from org.api_keys k
    where k.org_id = ${orgId} and (${before ?? null}::uuid is null or k.id < ${before ?? null})
    order by k.id desc
    limit ${limit}`;
}

export function findKey(tx: Tx, orgId: string, keyId: string) {
  return maybe(tx, RowWithHash)`
    select ${columns}, k.hash from org.api_keys k where k.org_id = ${orgId} and k.id = ${keyId}`;
}

/** Every hash that the cache may know as alive. */
export function listHashesInUse(tx: Tx, orgId: string, now: Date) {
  return many(tx, Hash)`
    select k.hash from org.api_keys k
    where k.org_id = ${orgId} and k.revoked_at is null and k.expires_at > ${now}`;
}

export function updateName(tx: Tx, keyId: string, name: string): Promise<ApiKey> {
  return one(tx, Row)`update org.api_keys as k set name = ${name} where k.id = ${keyId} returning ${columns}`;
}

export async function updateRevoked(tx: Tx, keyId: string, now: Date): Promise<void> {
  await run(tx)`update org.api_keys k set revoked_at = ${now} where k.id = ${keyId}`;
}

export async function updateReplaced(tx: Tx, keyId: string, successorId: string, until: Date): Promise<void> {
  await run(tx)`
    update org.api_keys k set replaced_by = ${successorId}, overlap_until = ${until} where k.id = ${keyId}`;
}

/** Ends the overlap of the keys that this one replaced. */
export function endOverlapOfPredecessors(tx: Tx, keyId: string, now: Date) {
  return many(tx, Hash)`
    update org.api_keys as k set overlap_until = ${now}
    where k.replaced_by = ${keyId} and k.overlap_until > ${now}
    returning k.hash`;
}

/** Notes that a key was used; at most one write a minute, however often it is. */
export async function touchKey(tx: Tx, keyId: string, network: string | undefined, now: Date): Promise<void> {
  await run(tx)`
    update org.api_keys k set last_used_at = ${now}, last_used_network = ${network ?? null}
    where k.id = ${keyId} and (k.last_used_at is null or k.last_used_at <= ${now}::timestamptz - interval '60 seconds')`;
}
