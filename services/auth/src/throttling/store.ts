import { type Db, many, maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Try = z.object({
  judged: z.boolean(),
  used: z.number(),
  failures: z.number(),
  locked_until: z.date().nullable(),
});
export type Try = z.infer<typeof Try>;

/** How a lane grows narrow; seconds. */
export interface Policy {
  windowSeconds: number;
  /** So many tries come at once; after that each waits, twice as long each time. */
  free: number;
  delaySeconds: number;
  delayMaxSeconds: number;
  /** So many tries in a window lock the lane for a while. */
  lockAfter: number;
  lockSeconds: number;
  /** So many failures in a row, over all windows, lock it until the owner is back. */
  failuresMax: number;
}

interface Take {
  bucket: Buffer;
  policy: Policy;
  now: Date;
  lasting: boolean;
}

const after = (time: Date, seconds: number) => new Date(time.getTime() + seconds * 1000);

/**
 * Takes one try from a lane, or finds that it must wait, in one statement: however many try at one instant, on however
 * many instances, no more get one than the policy says. A refused try writes nothing. A locked lane counts on without
 * judging, from the start and by the same rule, so that from outside it behaves as one that is not.
 */
export function takeTry(db: Db, { bucket, policy, now, lasting }: Take): Promise<Try | undefined> {
  const { free, delaySeconds, delayMaxSeconds, lockAfter, failuresMax } = policy;
  const windowEndsAt = after(now, policy.windowSeconds);
  const lockEndsAt = after(now, policy.lockSeconds);
  const firstNextAt = free <= 1 ? after(now, delaySeconds) : null;
  return maybe(db, Try)`
    insert into auth.login_lanes as l
      (bucket, used, window_ends_at, next_at, locked_until, failures, judged, lasting)
    values (${bucket}, 1, ${windowEndsAt}, ${firstNextAt}, null, 1, true, ${lasting})
    on conflict (bucket) do update
    set (used, window_ends_at, next_at, locked_until, failures, judged, lasting) = (
      select
        case when n.full then 0 else n.used end,
        case when n.fresh or n.full then ${windowEndsAt} else l.window_ends_at end,
        case when n.full or n.used < ${free} then null
          else ${now}::timestamptz + make_interval(
            secs => least(${delayMaxSeconds}::integer, ${delaySeconds}::integer * 2 ^ least(n.used - ${free}, 20))) end,
        case when n.judged and n.full then ${lockEndsAt}
          when l.locked_until <= ${now} then null
          else l.locked_until end,
        l.failures + n.judged::integer,
        n.judged,
        l.lasting or excluded.lasting
      from (
        select t.fresh, t.used, t.used >= ${lockAfter} as full,
          coalesce(l.locked_until <= ${now}, true) and l.failures < ${failuresMax} as judged
        from (
          select w.fresh, case when w.fresh then 1 else l.used + 1 end as used
          from (select l.window_ends_at <= ${now} or coalesce(l.locked_until <= ${now}, false) as fresh) w
        ) t
      ) n
    )
    where l.next_at is null or l.next_at <= ${now}
    returning l.judged, l.used, l.failures, l.locked_until`;
}

export async function findNextTry(db: Db, bucket: Buffer): Promise<Date | undefined> {
  const row = await maybe(db, z.object({ next_at: z.date().nullable() }))`
    select l.next_at from auth.login_lanes l where l.bucket = ${bucket}`;
  return row?.next_at ?? undefined;
}

/** Takes a try back that was not judged: with it the delay, or the lock, that it brought. */
export async function returnTry(db: Db, bucket: Buffer, { judged, locked_until }: Try, lockAfter: number) {
  const locked = judged && locked_until !== null;
  await run(db)`
    update auth.login_lanes l
    set used = case when ${locked} then ${lockAfter - 1} else greatest(l.used - 1, 0) end,
      failures = greatest(l.failures - ${judged ? 1 : 0}, 0),
      next_at = null,
      locked_until = case when ${locked} then null else l.locked_until end
    where l.bucket = ${bucket}`;
}

export async function deleteLanes(db: Db, buckets: Buffer[]): Promise<void> {
  await run(db)`delete from auth.login_lanes l where l.bucket = any (${buckets}::bytea[])`;
}

/** Forgets the failures in a row. A lock that has an end keeps it: strangers gain nothing by an owner who signs in. */
export async function forgiveFailures(tx: Tx, bucket: Buffer, userId: string, now: Date): Promise<void> {
  await run(tx)`update auth.login_lanes l set failures = 0 where l.bucket = ${bucket} and l.failures > 0`;
  await run(tx)`
    update auth.lockouts o
    set locked_until = coalesce((select l.locked_until from auth.login_lanes l where l.bucket = ${bucket}), ${now})
    where o.user_id = ${userId} and o.locked_until is null`;
}

export async function deleteLockout(tx: Tx, userId: string): Promise<boolean> {
  return (await run(tx)`delete from auth.lockouts o where o.user_id = ${userId}`) > 0;
}

interface Lock {
  /** Undefined for an address without an account, which takes the same statement and leaves nothing. */
  user_id: string | undefined;
  now: Date;
  locked_until: Date | null;
  token_hash: Buffer;
  token_expires_at: Date;
  job: { id: string; name: string; queue: string; payload: string; secret: Buffer };
}

/**
 * Notes who is locked, with the link that ends the lock and the mail that brings it. One statement, so that a lock takes
 * as long where there is no account; this is why the job is not enqueued as every other is.
 */
export async function noteLock(tx: Tx, { user_id, now, locked_until, token_hash, token_expires_at, job }: Lock) {
  await run(tx)`
    with locked as (
      select u.id, u.email from auth.users u where u.id = ${user_id ?? null}::uuid and u.status = 'active'
    ), noted as (
      insert into auth.lockouts as o (user_id, locked_at, locked_until)
      select u.id, ${now}, ${locked_until}::timestamptz from locked u
      on conflict (user_id) do update set locked_at = excluded.locked_at, locked_until = excluded.locked_until
    ), superseded as (
      delete from auth.action_tokens t using locked u where t.user_id = u.id and t.purpose = 'unlock'
    ), issued as (
      insert into auth.action_tokens (token_hash, purpose, user_id, email, created_at, expires_at)
      select ${token_hash}, 'unlock', u.id, u.email, ${now}, ${token_expires_at}::timestamptz from locked u
    )
    insert into events.jobs (id, name, queue, payload, secret)
    select ${job.id}::uuid, ${job.name}, ${job.queue}, ${job.payload}::jsonb, ${job.secret}::bytea from locked u`;
}

const Lockout = z.object({
  user_id: z.uuid(),
  email: z.string(),
  name: z.string(),
  locked_at: z.date(),
  locked_until: z.date().nullable(),
});
export type Lockout = z.infer<typeof Lockout>;

export function findLockout(db: Db, userId: string, now: Date): Promise<Lockout | undefined> {
  return maybe(db, Lockout)`
    select o.user_id, u.email, u.name, o.locked_at, o.locked_until
    from auth.lockouts o join auth.users u on u.id = o.user_id
    where o.user_id = ${userId} and (o.locked_until is null or o.locked_until > ${now})`;
}

/** Who is locked now, the latest first, from a position on. */
export function listLockouts(
  db: Db,
  { now, limit, before }: { now: Date; limit: number; before: { locked_at: Date; user_id: string } | undefined },
): Promise<Lockout[]> {
  return many(db, Lockout)`
    select o.user_id, u.email, u.name, o.locked_at, o.locked_until
    from auth.lockouts o join auth.users u on u.id = o.user_id
    where (o.locked_until is null or o.locked_until > ${now})
      and (${before?.user_id ?? null}::uuid is null
        or (o.locked_at, o.user_id) < (${before?.locked_at ?? null}::timestamptz, ${before?.user_id ?? null}::uuid))
    order by o.locked_at desc, o.user_id desc
    limit ${limit}`;
}
