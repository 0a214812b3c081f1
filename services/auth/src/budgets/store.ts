import { type Db, maybe, run } from '@gatehouse/kit/db';
import { z } from 'zod';

const Guess = z.object({ used: z.number() });
const Reset = z.object({ resets_at: z.date() });

interface Take {
  bucket: Buffer;
  max: number;
  now: Date;
  resetsAt: Date;
}

/**
 * Takes one guess from a bucket, or finds it empty, in one statement: however many try at one instant, on however many
 * instances, `max` of them get one. Tells how many are used. A refused try writes nothing.
 */
export async function takeGuess(db: Db, { bucket, max, now, resetsAt }: Take): Promise<number | undefined> {
  const guess = await maybe(db, Guess)`
    insert into auth.guess_budgets as b (bucket, used, resets_at)
    values (${bucket}, 1, ${resetsAt})
    on conflict (bucket) do update set
      used = case when b.resets_at <= ${now} then 1 else b.used + 1 end,
      resets_at = case when b.resets_at <= ${now} then excluded.resets_at else b.resets_at end
    where b.resets_at <= ${now} or b.used < ${max}
    returning b.used`;
  return guess?.used;
}

export async function findReset(db: Db, bucket: Buffer): Promise<Date | undefined> {
  const row = await maybe(db, Reset)`select b.resets_at from auth.guess_budgets b where b.bucket = ${bucket}`;
  return row?.resets_at;
}

export async function giveBackGuess(db: Db, bucket: Buffer): Promise<void> {
  await run(db)`update auth.guess_budgets b set used = b.used - 1 where b.bucket = ${bucket} and b.used > 0`;
}

export async function deleteBudget(db: Db, bucket: Buffer): Promise<void> {
  await run(db)`delete from auth.guess_budgets b where b.bucket = ${bucket}`;
}
