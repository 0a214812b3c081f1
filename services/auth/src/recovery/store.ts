import { maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

/** Some account's id: what is written for it is taken back before it is committed. */
export function anybody(tx: Tx): Promise<{ id: string } | undefined> {
  return maybe(tx, z.object({ id: z.uuid() }))`select u.id from auth.users u order by u.id limit 1`;
}

export async function savepoint(tx: Tx): Promise<void> {
  await run(tx)`savepoint stand_in`;
}

export async function rollBackTo(tx: Tx): Promise<void> {
  await run(tx)`rollback to savepoint stand_in`;
}

/** Of requests for one address at one instant each sees what the one before left. */
export async function lockRequests(tx: Tx, email: string): Promise<void> {
  await run(tx)`select pg_advisory_xact_lock(hashtextextended(${`auth.password_reset ${email}`}, 0))`;
}
