import { type Db, many, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Device = z.object({
  id: z.uuid(),
  user_id: z.uuid(),
  token_hash: z.instanceof(Buffer),
  trusted_until: z.date().nullable(),
});
export type Device = z.infer<typeof Device>;

/** The devices, whoever's, that a client's secrets stand for. */
export function findDevicesByTokens(db: Db, hashes: readonly Buffer[]): Promise<Device[]> {
  return many(db, Device)`
    select d.id, d.user_id, d.token_hash, d.trusted_until
    from auth.devices d
    where d.token_hash = any (${hashes}::bytea[]) and d.revoked_at is null`;
}

const Id = z.object({ id: z.uuid() });

/** The device of an account that one of the secrets stands for; by address, for who has not signed in yet. */
export async function findDeviceId(db: Db, email: string, hashes: readonly Buffer[]): Promise<string | undefined> {
  const device = await maybe(db, Id)`
    select d.id from auth.devices d
    join auth.users u on u.id = d.user_id
    where d.token_hash = any (${hashes}::bytea[]) and d.revoked_at is null
      and u.email = ${email} and u.status <> 'deleted'
    order by d.last_used_at desc
    limit 1`;
  return device?.id;
}

interface Sighting {
  name: string;
  address: string;
  network: string;
  now: Date;
}

interface NewDevice extends Sighting {
  id: string;
  user_id: string;
  token_hash: Buffer;
}

export async function insertDevice(tx: Tx, device: NewDevice): Promise<void> {
  const { id, user_id, token_hash, name, address, network, now } = device;
  await run(tx)`
    insert into auth.devices (id, user_id, token_hash, name, address, network, first_used_at, last_used_at)
    values (${id}, ${user_id}, ${token_hash}, ${name}, ${address}, ${network}, ${now}, ${now})`;
}

/** False when the device was revoked a moment ago. */
export async function updateSighting(tx: Tx, id: string, { name, address, network, now }: Sighting): Promise<boolean> {
  const updated = await run(tx)`
    update auth.devices d
    set name = ${name}, address = ${address}, network = ${network}, last_used_at = ${now}
    where d.id = ${id} and d.revoked_at is null`;
  return updated === 1;
}

const Memory = z.object({ signed_in_before: z.boolean(), similar: z.boolean() });

/** What is remembered of a user who comes without a device's cookie. */
export function findMemory(
  tx: Tx,
  user_id: string,
  { name, network, since, forgottenSince }: { name: string; network: string; since: Date; forgottenSince: Date },
): Promise<z.infer<typeof Memory>> {
  return one(tx, Memory)`
    select
      exists (select 1 from auth.devices d where d.user_id = ${user_id})
        or exists (select 1 from auth.sessions s where s.user_id = ${user_id})
        or exists (select 1 from auth.users u where u.id = ${user_id} and u.created_at < ${forgottenSince})
        as signed_in_before,
      exists (
        select 1 from auth.devices d
        where d.user_id = ${user_id} and d.name = ${name} and d.network = ${network} and d.revoked_at is null
          and d.last_used_at > ${since}) as similar`;
}

/** Forgets the devices that were not used for the longest time until `keep` are left. */
export async function deleteOldestDevices(tx: Tx, user_id: string, keep: number): Promise<void> {
  await run(tx)`
    delete from auth.devices d where d.id in (
      select o.id from auth.devices o
      where o.user_id = ${user_id}
      order by o.revoked_at is not null, o.last_used_at desc, o.id desc
      offset ${keep})`;
}

export async function updateTrust(tx: Tx, id: string, user_id: string, until: Date): Promise<boolean> {
  const updated = await run(tx)`
    update auth.devices d set trusted_until = ${until}
    where d.id = ${id} and d.user_id = ${user_id} and d.revoked_at is null`;
  return updated === 1;
}

export async function clearTrust(tx: Tx, user_id: string): Promise<number> {
  return run(tx)`
    update auth.devices d set trusted_until = null where d.user_id = ${user_id} and d.trusted_until is not null`;
}

export async function updateRevoked(tx: Tx, id: string, user_id: string, now: Date): Promise<boolean> {
  const updated = await run(tx)`
    update auth.devices d set revoked_at = ${now}, trusted_until = null
    where d.id = ${id} and d.user_id = ${user_id} and d.revoked_at is null`;
  return updated === 1;
}

const Listed = z.object({
  id: z.uuid(),
  name: z.string(),
  address: z.string(),
  first_used_at: z.date(),
  last_used_at: z.date(),
  trusted_until: z.date().nullable(),
  current: z.boolean(),
});

/** Last use counts that of the device's sessions, whose refreshes do not write here. */
export function listDevices(db: Db, user_id: string, session_id: string, now: Date) {
  return many(db, Listed)`
    select d.id, d.name, d.address, d.first_used_at,
      greatest(d.last_used_at, (
        select max(s.last_used_at) from auth.sessions s where s.device_id = d.id and s.ended_at is null)) as last_used_at,
      case when d.trusted_until > ${now} then d.trusted_until end as trusted_until,
      exists (select 1 from auth.sessions s where s.id = ${session_id} and s.device_id = d.id) as current
    from auth.devices d
    where d.user_id = ${user_id} and d.revoked_at is null
    order by last_used_at desc, d.id desc`;
}
