import { AuthenticationMethod, PlatformRole } from '@gatehouse/contracts/identity';
import { type Db, many, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Id = z.object({ id: z.uuid() });
const Owned = z.object({ id: z.uuid(), user_id: z.uuid() });

const Listed = z.object({
  id: z.uuid(),
  role: PlatformRole,
  agent: z.string(),
  device_id: z.uuid().nullable(),
  device_name: z.string().nullable(),
  amr: z.array(AuthenticationMethod),
  authenticated_at: z.date(),
  address: z.string(),
  created_at: z.date(),
  last_used_at: z.date(),
  idle_expires_at: z.date(),
  expires_at: z.date(),
});
export type ListedSession = z.infer<typeof Listed>;

const State = z.object({
  id: z.uuid(),
  user_id: z.uuid(),
  role: PlatformRole,
  user_status: z.string(),
  key_sealed: z.instanceof(Buffer),
  amr: z.array(AuthenticationMethod),
  authenticated_at: z.date(),
  generation: z.number(),
  rotated_at: z.date(),
  created_at: z.date(),
  last_used_at: z.date(),
  idle_expires_at: z.date(),
  expires_at: z.date(),
  ended_at: z.date().nullable(),
});
export type SessionState = z.infer<typeof State>;

export type EndReason =
  | 'logout'
  | 'user'
  | 'session_limit'
  | 'refresh_reuse'
  | 'address_confirmed'
  | 'password_changed'
  | 'password_reset'
  | 'email_changed'
  | 'not_me'
  | 'disabled'
  | 'account_closed'
  | 'admin'
  | 'device_revoked'
  | 'replaced';

export interface NewSession {
  id: string;
  user_id: string;
  key_sealed: Buffer;
  device: string;
  address: string;
  amr: AuthenticationMethod[];
  device_id: string | null;
  now: Date;
  idle_expires_at: Date;
  expires_at: Date;
}

export async function insertSession(tx: Tx, session: NewSession): Promise<void> {
  const { id, user_id, key_sealed, device, address, amr, device_id, now, idle_expires_at, expires_at } = session;
  await run(tx)`
    insert into auth.sessions (id, user_id, key_sealed, rotated_at, device, address, amr, device_id, authenticated_at,
                               created_at, last_used_at, idle_expires_at, expires_at)
    values (${id}, ${user_id}, ${key_sealed}, ${now}, ${device}, ${address}, ${amr}, ${device_id}, ${now},
            ${now}, ${now}, ${idle_expires_at}, ${expires_at})`;
}

/** Locks a session: of refreshes at one instant, each sees what the one before left. */
export function lockSession(tx: Tx, sessionId: string): Promise<SessionState | undefined> {
  return maybe(tx, State)`
    select s.id, s.user_id, u.role, u.status as user_status, s.key_sealed, s.amr,
      coalesce(s.authenticated_at, s.created_at) as authenticated_at, s.generation, s.rotated_at,
      s.created_at, s.last_used_at, s.idle_expires_at, s.expires_at, s.ended_at
    from auth.sessions s
    join auth.users u on u.id = s.user_id
    where s.id = ${sessionId}
    for no key update of s`;
}

export function findSession(db: Db, sessionId: string): Promise<SessionState | undefined> {
  return maybe(db, State)`
    select s.id, s.user_id, u.role, u.status as user_status, s.key_sealed, s.amr,
      coalesce(s.authenticated_at, s.created_at) as authenticated_at, s.generation, s.rotated_at,
      s.created_at, s.last_used_at, s.idle_expires_at, s.expires_at, s.ended_at
    from auth.sessions s
    join auth.users u on u.id = s.user_id
    where s.id = ${sessionId}`;
}

const Life = State.pick({
  id: true,
  user_id: true,
  role: true,
  user_status: true,
  created_at: true,
  last_used_at: true,
  idle_expires_at: true,
  expires_at: true,
  ended_at: true,
});

/** What tells whose these sessions are and whether they live, in no order. */
export function findLives(db: Db, sessionIds: readonly string[]) {
  return many(db, Life)`
    select s.id, s.user_id, u.role, u.status as user_status, s.created_at, s.last_used_at, s.idle_expires_at,
      s.expires_at, s.ended_at
    from auth.sessions s
    join auth.users u on u.id = s.user_id
    where s.id = any(${sessionIds}::uuid[])`;
}

export interface Limits {
  idleMs: number;
  absoluteMs: number;
}

interface Rotation {
  id: string;
  /** The generation that it rotates from. */
  generation: number;
  address: string;
  now: Date;
  ordinary: Limits;
  admin: Limits;
}

const Rotated = State.pick({
  id: true,
  user_id: true,
  role: true,
  amr: true,
  authenticated_at: true,
  expires_at: true,
});

/**
 * Takes a session one generation on, if it lives and is at that generation: of many at one instant the row lets one
 * through, and the others get nothing. The limits are those of the role that its user has now.
 */
export function rotateSession(db: Db, { id, generation, address, now, ordinary, admin }: Rotation) {
  return maybe(db, Rotated)`
    update auth.sessions s
    set generation = s.generation + 1, rotated_at = l.now, last_used_at = l.now, address = ${address},
      idle_expires_at = least(s.expires_at, l.now + l.idle)
    from auth.users u, lateral (
      select ${now}::timestamptz as now,
        case u.role when 'admin' then ${admin.idleMs}::float8 else ${ordinary.idleMs}::float8 end
          * interval '1 millisecond' as idle,
        case u.role when 'admin' then ${admin.absoluteMs}::float8 else ${ordinary.absoluteMs}::float8 end
          * interval '1 millisecond' as absolute
    ) l
    where s.id = ${id} and s.generation = ${generation} and s.ended_at is null
      and u.id = s.user_id and u.status = 'active'
      and least(s.idle_expires_at, s.last_used_at + l.idle) > l.now
      and least(s.expires_at, s.created_at + l.absolute) > l.now
    returning s.id, s.user_id, u.role, s.amr, coalesce(s.authenticated_at, s.created_at) as authenticated_at,
      least(s.expires_at, s.created_at + l.absolute) as expires_at`;
}

/** The same key, sealed with the secret that replaces the one before. */
export async function updateSealedKey(db: Db, id: string, key_sealed: Buffer): Promise<void> {
  await run(db)`update auth.sessions s set key_sealed = ${key_sealed} where s.id = ${id}`;
}

export async function updateAuthentication(tx: Tx, id: string, amr: AuthenticationMethod[], now: Date): Promise<void> {
  await run(tx)`update auth.sessions s set amr = ${amr}, authenticated_at = ${now} where s.id = ${id}`;
}

export function listLiveSessions(db: Db, userId: string, now: Date): Promise<ListedSession[]> {
  return many(db, Listed)`
    select s.id, u.role, s.device as agent, s.device_id, d.name as device_name, s.amr,
      coalesce(s.authenticated_at, s.created_at) as authenticated_at, s.address, s.created_at, s.last_used_at,
      s.idle_expires_at, s.expires_at
    from auth.sessions s
    join auth.users u on u.id = s.user_id
    left join auth.devices d on d.id = s.device_id
    where s.user_id = ${userId} and s.ended_at is null and s.expires_at > ${now} and s.idle_expires_at > ${now}
    order by s.created_at desc, s.id desc`;
}

/** Ends a session of that user; false when there is none that lives. */
export async function endSession(tx: Tx, sessionId: string, userId: string, end: End): Promise<boolean> {
  const ended = await run(tx)`
    update auth.sessions s set ended_at = ${end.now}, end_reason = ${end.reason}
    where s.id = ${sessionId} and s.user_id = ${userId} and s.ended_at is null and s.expires_at > ${end.now}`;
  return ended === 1;
}

interface End {
  reason: EndReason;
  now: Date;
}

/** Ends every session of a user, but for the one that may go on. */
export async function endAllSessions(
  tx: Tx,
  userId: string,
  { reason, now, except = null }: End & { except?: string | null },
): Promise<string[]> {
  const ended = await many(tx, Id)`
    update auth.sessions s set ended_at = ${now}, end_reason = ${reason}
    where s.user_id = ${userId} and s.ended_at is null and s.id is distinct from ${except}::uuid
    returning s.id`;
  return ended.map((session) => session.id);
}

/** Ends every session that was opened on a device. */
export async function endDeviceSessions(tx: Tx, userId: string, deviceId: string, end: End): Promise<string[]> {
  const ended = await many(tx, Id)`
    update auth.sessions s set ended_at = ${end.now}, end_reason = ${end.reason}
    where s.user_id = ${userId} and s.device_id = ${deviceId} and s.ended_at is null
    returning s.id`;
  return ended.map((session) => session.id);
}

/** Ends the oldest of a user's sessions until `keep` are left. The caller holds the user's row. */
export async function endOldestSessions(tx: Tx, userId: string, keep: number, now: Date): Promise<string[]> {
  const ended = await many(tx, Owned)`
    update auth.sessions s set ended_at = ${now}, end_reason = 'session_limit'
    where s.id in (
      select l.id from auth.sessions l
      where l.user_id = ${userId} and l.ended_at is null
      order by l.created_at desc, l.id desc
      offset ${keep}
    )
    returning s.id, s.user_id`;
  return ended.map((session) => session.id);
}

export function countLiveSessions(db: Db, now: Date): Promise<{ total: number }> {
  return one(db, z.object({ total: z.number() }))`
    select count(*) as total from auth.sessions s
    where s.ended_at is null and s.expires_at > ${now} and s.idle_expires_at > ${now}`;
}

/** From now on the password alone opens nothing: a new one must be chosen first. */
export async function requirePasswordReset(tx: Tx, userId: string, now: Date): Promise<void> {
  await run(tx)`
    update auth.users u set password_reset_required = true, updated_at = ${now} where u.id = ${userId}`;
}
