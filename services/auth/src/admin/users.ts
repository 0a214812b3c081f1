import type { PlatformRole } from '@gatehouse/contracts/identity';
import type { Db } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { decodeCursor, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { listFactors } from '../factors/factors.ts';
import { findLockout, listLockouts } from '../throttling/throttling.ts';
import { type AccountStatus, findBootstrap, findUserDetail, searchUsers } from './store.ts';

const Time = z.iso.datetime().transform((text) => new Date(text));
const Position = z.tuple([Time, z.uuid()]);

interface Query {
  q?: string | undefined;
  status?: AccountStatus | undefined;
  role?: PlatformRole | undefined;
  limit: number;
  cursor?: string | undefined;
}

export async function listUsers({ pool }: Pick<Deps, 'pool'>, { q, status, role, limit, cursor }: Query) {
  const prefix = q?.normalize('NFKC').toLowerCase();
  const scope = `admin users ${JSON.stringify([prefix, status, role])}`;
  const position = decodeCursor(scope, Position, cursor);
  const before = position && { created_at: position[0], id: position[1] };
  const rows = await searchUsers(pool, { prefix, status, role, limit: limit + 1, before });
  return toPage(rows, limit, scope, ({ created_at, id }) => [created_at, id]);
}

/** What an administrator sees of one user; throws `auth.account_not_found`. */
export async function getUser({ clock }: Pick<Deps, 'clock'>, db: Db, userId: string) {
  const now = clock();
  const user = await findUserDetail(db, userId, now);
  if (!user) throw new AppError('auth.account_not_found', 'There is no such user.');
  const factors = await listFactors(db, userId);
  const lock = await findLockout(db, userId, now);
  return {
    ...user,
    second_factors: factors.map(({ method }) => method),
    lock: lock ? { locked_at: lock.locked_at, locked_until: lock.locked_until } : null,
  };
}

/** Who is locked for strangers at this moment, the latest first. */
export async function listLocked(
  { pool, clock }: Pick<Deps, 'pool' | 'clock'>,
  query: Pick<Query, 'limit' | 'cursor'>,
) {
  const scope = 'admin lockouts';
  const position = decodeCursor(scope, Position, query.cursor);
  const before = position && { locked_at: position[0], user_id: position[1] };
  const rows = await listLockouts(pool, { now: clock(), limit: query.limit + 1, before });
  return toPage(rows, query.limit, scope, ({ locked_at, user_id }) => [locked_at, user_id]);
}

export async function bootstrapState({ pool }: Pick<Deps, 'pool'>) {
  const done = await findBootstrap(pool);
  if (!done) return { completed: false, completed_at: null, by: null, org_id: null };
  const { completed_at, user_id, email, name, org_id } = done;
  return { completed: true, completed_at, by: { id: user_id, email, name }, org_id };
}
