import { type Db, many, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import { Factor, type FactorMethod } from './methods.ts';

const Seed = z.object({ id: z.uuid(), secret_sealed: z.instanceof(Buffer), last_step: z.number().nullable() });
export type Seed = z.infer<typeof Seed>;

/** What a user has set up; a set of recovery codes is listed as long as one is left. */
export function listFactors(db: Db, userId: string): Promise<Factor[]> {
  return many(db, Factor)`
    select f.method, f.confirmed_at as added_at, f.last_used_at,
      case when f.method = 'recovery' then r.left end as left
    from auth.factors f
    cross join lateral (select count(*) as left from auth.recovery_codes c where c.user_id = f.user_id) r
    where f.user_id = ${userId} and f.confirmed_at is not null and (f.method <> 'recovery' or r.left > 0)
    order by f.method = 'recovery', f.confirmed_at`;
}

interface NewFactor {
  id: string;
  user_id: string;
  method: FactorMethod;
  secret_sealed?: Buffer;
  now: Date;
}

/** Begins an enrolment in the place of one that was begun before. */
export async function replacePending(
  tx: Tx,
  { id, user_id, method, secret_sealed, now, bound_to, expires_at }: NewFactor & { bound_to: string; expires_at: Date },
): Promise<void> {
  await run(tx)`
    delete from auth.factors f where f.user_id = ${user_id} and f.method = ${method} and f.confirmed_at is null`;
  await run(tx)`
    insert into auth.factors (id, user_id, method, secret_sealed, bound_to, created_at, expires_at)
    values (${id}, ${user_id}, ${method}, ${secret_sealed ?? null}, ${bound_to}, ${now}, ${expires_at})`;
}

interface Pending {
  user_id: string;
  method: FactorMethod;
  /** Only the session or challenge that began an enrolment ends it. */
  bound_to: string;
}

export function findPendingSeed(tx: Tx, { user_id, method, bound_to }: Pending, now: Date): Promise<Seed | undefined> {
  return maybe(tx, Seed)`
    select f.id, f.secret_sealed, f.last_step from auth.factors f
    where f.user_id = ${user_id} and f.method = ${method} and f.bound_to = ${bound_to} and f.confirmed_at is null
      and f.expires_at > ${now}
    for update`;
}

export async function confirmSeed(tx: Tx, id: string, step: number, now: Date): Promise<void> {
  await run(tx)`
    update auth.factors f
    set confirmed_at = ${now}, last_step = ${step}, expires_at = null, bound_to = null
    where f.id = ${id}`;
}

export async function insertConfirmed(tx: Tx, { id, user_id, method, now }: NewFactor): Promise<void> {
  await run(tx)`
    insert into auth.factors (id, user_id, method, created_at, confirmed_at)
    values (${id}, ${user_id}, ${method}, ${now}, ${now})`;
}

/** Locks a user's seed: of two codes at one instant, the second sees the step that the first one left. */
export function lockSeed(tx: Tx, userId: string): Promise<Seed | undefined> {
  return maybe(tx, Seed)`
    select f.id, f.secret_sealed, f.last_step from auth.factors f
    where f.user_id = ${userId} and f.method = 'totp' and f.confirmed_at is not null
    for update`;
}

export async function updateStep(tx: Tx, id: string, step: number): Promise<void> {
  await run(tx)`update auth.factors f set last_step = ${step} where f.id = ${id}`;
}

export async function updateSealed(tx: Tx, id: string, secretSealed: Buffer): Promise<void> {
  await run(tx)`update auth.factors f set secret_sealed = ${secretSealed} where f.id = ${id}`;
}

export async function updateLastUse(tx: Tx, userId: string, method: FactorMethod, now: Date): Promise<void> {
  await run(tx)`
    update auth.factors f set last_used_at = ${now}
    where f.user_id = ${userId} and f.method = ${method} and f.confirmed_at is not null`;
}

/** False when there is no such factor. */
export async function deleteFactor(tx: Tx, userId: string, method: FactorMethod): Promise<boolean> {
  const deleted = await run(tx)`
    delete from auth.factors f where f.user_id = ${userId} and f.method = ${method} and f.confirmed_at is not null`;
  return deleted === 1;
}

/** Factors and enrolments under way, recovery codes included. */
export async function deleteFactorsOf(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.factors f where f.user_id = ${userId}`;
  await deleteRecoveryCodes(tx, userId);
}

export async function insertRecoveryCodes(tx: Tx, userId: string, hashes: Buffer[], now: Date): Promise<void> {
  await run(tx)`
    insert into auth.recovery_codes (code_hash, user_id, created_at)
    select h.code_hash, ${userId}, ${now} from unnest(${hashes}::bytea[]) as h (code_hash)`;
}

export async function deleteRecoveryCodes(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.recovery_codes c where c.user_id = ${userId}`;
}

/** Uses a code up; of many who give it at one instant one gets true. */
export async function takeRecoveryCode(tx: Tx, userId: string, hash: Buffer): Promise<boolean> {
  const taken = await maybe(tx, z.object({ user_id: z.uuid() }))`
    delete from auth.recovery_codes c where c.code_hash = ${hash} and c.user_id = ${userId} returning c.user_id`;
  return taken !== undefined;
}

export async function countRecoveryCodes(tx: Tx, userId: string): Promise<number> {
  const row = await one(tx, z.object({ left: z.number() }))`
    select count(*) as left from auth.recovery_codes c where c.user_id = ${userId}`;
  return row.left;
}
