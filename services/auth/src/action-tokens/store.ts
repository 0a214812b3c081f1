import { type Db, maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Taken = z.object({
  user_id: z.uuid(),
  email: z.string(),
  data: z.record(z.string(), z.unknown()),
});
type Taken = z.infer<typeof Taken>;

interface NewToken extends Taken {
  token_hash: Buffer;
  purpose: string;
  now: Date;
  expires_at: Date;
}

export async function insertToken(tx: Tx, token: NewToken): Promise<void> {
  const { token_hash, purpose, user_id, email, data, now, expires_at } = token;
  await run(tx)`
    insert into auth.action_tokens (token_hash, purpose, user_id, email, data, created_at, expires_at)
    values (${token_hash}, ${purpose}, ${user_id}, ${email}, ${JSON.stringify(data)}::jsonb, ${now}, ${expires_at})`;
}

export function findToken(db: Db, purpose: string, tokenHash: Buffer, now: Date): Promise<Taken | undefined> {
  return maybe(db, Taken)`
    select t.user_id, t.email, t.data from auth.action_tokens t
    where t.token_hash = ${tokenHash} and t.purpose = ${purpose} and t.expires_at > ${now}`;
}

export function takeToken(tx: Tx, purpose: string, tokenHash: Buffer, now: Date): Promise<Taken | undefined> {
  return maybe(tx, Taken)`
    delete from auth.action_tokens t
    where t.token_hash = ${tokenHash} and t.purpose = ${purpose} and t.expires_at > ${now}
    returning t.user_id, t.email, t.data`;
}

export async function deleteTokens(tx: Tx, userId: string, purposes?: readonly string[]): Promise<void> {
  await run(tx)`
    delete from auth.action_tokens t
    where t.user_id = ${userId} and (${purposes ?? null}::text[] is null or t.purpose = any (${purposes ?? null}::text[]))`;
}
