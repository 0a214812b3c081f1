import { AuthenticationMethod } from '@gatehouse/contracts/identity';
import { type Db, maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Challenge = z.object({
  id: z.uuid(),
  user_id: z.uuid(),
  /** Whether a factor is to be proved or to be set up. */
  kind: z.enum(['verify', 'enrol']),
  amr: z.array(AuthenticationMethod),
  account_state: z.instanceof(Buffer),
  guesses: z.number(),
  expires_at: z.date(),
});
export type Challenge = z.infer<typeof Challenge>;

interface NewChallenge extends Omit<Challenge, 'guesses'> {
  token_hash: Buffer;
  now: Date;
}

export async function insertChallenge(tx: Tx, challenge: NewChallenge): Promise<void> {
  const { id, token_hash, user_id, kind, amr, account_state, now, expires_at } = challenge;
  await run(tx)`
    insert into auth.challenges (id, token_hash, user_id, kind, amr, account_state, created_at, expires_at)
    values (${id}, ${token_hash}, ${user_id}, ${kind}, ${amr}, ${account_state}, ${now}, ${expires_at})`;
}

export function findChallenge(db: Db, tokenHash: Buffer): Promise<Challenge | undefined> {
  return maybe(db, Challenge)`
    select c.id, c.user_id, c.kind, c.amr, c.account_state, c.guesses, c.expires_at
    from auth.challenges c where c.token_hash = ${tokenHash}`;
}

/** Locks a challenge: of two answers at one instant, the second sees what the first one left of it. */
export function lockChallenge(tx: Tx, id: string): Promise<Challenge | undefined> {
  return maybe(tx, Challenge)`
    select c.id, c.user_id, c.kind, c.amr, c.account_state, c.guesses, c.expires_at
    from auth.challenges c where c.id = ${id} for update`;
}

export async function updateGuesses(tx: Tx, id: string, guesses: number): Promise<void> {
  await run(tx)`update auth.challenges c set guesses = ${guesses} where c.id = ${id}`;
}

export async function deleteChallenge(tx: Tx, id: string): Promise<void> {
  await run(tx)`delete from auth.challenges c where c.id = ${id}`;
}

export async function deleteChallengesOf(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.challenges c where c.user_id = ${userId}`;
}
