import { maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const EmailChange = z.object({
  id: z.uuid(),
  user_id: z.uuid(),
  old_email: z.string(),
  new_email: z.string(),
  old_confirmed_at: z.date().nullable(),
  new_confirmed_at: z.date().nullable(),
  expires_at: z.date(),
});
export type EmailChange = z.infer<typeof EmailChange>;

interface NewEmailChange {
  id: string;
  user_id: string;
  old_email: string;
  new_email: string;
  now: Date;
  expires_at: Date;
}

export async function insertEmailChange(tx: Tx, change: NewEmailChange): Promise<void> {
  const { id, user_id, old_email, new_email, now, expires_at } = change;
  await run(tx)`
    insert into auth.email_changes (user_id, id, old_email, new_email, created_at, expires_at)
    values (${user_id}, ${id}, ${old_email}, ${new_email}, ${now}, ${expires_at})`;
}

/** Notes that one side has confirmed; the caller holds the user's row. */
export function confirmSide(
  tx: Tx,
  { id, side, now }: { id: string; side: 'old' | 'new'; now: Date },
): Promise<EmailChange | undefined> {
  return maybe(tx, EmailChange)`
    update auth.email_changes c
    set old_confirmed_at = case when ${side} = 'old' then ${now}::timestamptz else c.old_confirmed_at end,
      new_confirmed_at = case when ${side} = 'new' then ${now}::timestamptz else c.new_confirmed_at end
    where c.id = ${id} and c.expires_at > ${now}
    returning c.id, c.user_id, c.old_email, c.new_email, c.old_confirmed_at, c.new_confirmed_at, c.expires_at`;
}

/** Drops what a user has asked for; false when there was nothing. */
export async function deleteEmailChange(tx: Tx, userId: string): Promise<boolean> {
  return (await run(tx)`delete from auth.email_changes c where c.user_id = ${userId}`) === 1;
}
