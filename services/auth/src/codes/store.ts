import { type Db, maybe, one, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

/** What a code is good for. */
export const CodePurpose = z.enum(['sign_in', 'reauthenticate', 'enrol']);
export type CodePurpose = z.infer<typeof CodePurpose>;

/** Whose code, for what, and the challenge or session that asked for it. */
export interface CodeScope {
  user_id: string;
  purpose: CodePurpose;
  bound_to: string;
}

const Stored = z.object({ code_mac: z.instanceof(Buffer), tries: z.number(), expires_at: z.date() });
const Sent = z.object({ sends: z.number(), tries: z.number(), window_ends_at: z.date() });

interface NewCode extends CodeScope {
  code_mac: Buffer;
  now: Date;
  expires_at: Date;
  sendsMax: number;
  triesMax: number;
}

/** Puts a code in the place of the former one; undefined when the window has no more sends, or no more tries. */
export function replaceCode(tx: Tx, code: NewCode): Promise<{ sends: number } | undefined> {
  const { user_id, purpose, bound_to, code_mac, now, expires_at, sendsMax, triesMax } = code;
  return maybe(tx, Sent)`
    insert into auth.one_time_codes as c (user_id, purpose, bound_to, code_mac, expires_at, window_ends_at)
    values (${user_id}, ${purpose}, ${bound_to}, ${code_mac}, ${expires_at}, ${expires_at})
    on conflict on constraint one_time_codes_pkey do update set
      code_mac = excluded.code_mac,
      expires_at = excluded.expires_at,
      sends = case when c.window_ends_at <= ${now} then 1 else c.sends + 1 end,
      tries = case when c.window_ends_at <= ${now} then 0 else c.tries end,
      window_ends_at = case when c.window_ends_at <= ${now} then excluded.window_ends_at else c.window_ends_at end
    where c.window_ends_at <= ${now} or (c.sends < ${sendsMax} and c.tries < ${triesMax})
    returning c.sends, c.tries, c.window_ends_at`;
}

export async function findWindowEnd(db: Db, { user_id, purpose, bound_to }: CodeScope): Promise<Date> {
  const row = await one(db, z.object({ window_ends_at: z.date() }))`
    select c.window_ends_at from auth.one_time_codes c
    where c.user_id = ${user_id} and c.purpose = ${purpose} and c.bound_to = ${bound_to}`;
  return row.window_ends_at;
}

/** Counts a try at a code and locks it: of tries at one instant each sees what the one before left. */
export function countTry(tx: Tx, { user_id, purpose, bound_to }: CodeScope) {
  return maybe(tx, Stored)`
    update auth.one_time_codes c set tries = c.tries + 1
    where c.user_id = ${user_id} and c.purpose = ${purpose} and c.bound_to = ${bound_to}
    returning c.code_mac, c.tries, c.expires_at`;
}

export async function deleteCode(tx: Tx, { user_id, purpose, bound_to }: CodeScope): Promise<void> {
  await run(tx)`
    delete from auth.one_time_codes c
    where c.user_id = ${user_id} and c.purpose = ${purpose} and c.bound_to = ${bound_to}`;
}

export async function deleteCodesOf(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.one_time_codes c where c.user_id = ${userId}`;
}

export async function deleteCodesBoundTo(tx: Tx, boundTo: string): Promise<void> {
  await run(tx)`delete from auth.one_time_codes c where c.bound_to = ${boundTo}`;
}
