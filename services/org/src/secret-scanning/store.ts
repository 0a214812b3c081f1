import { many, maybe, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const LeakedKey = z.object({
  key_id: z.uuid(),
  org_id: z.uuid(),
  org_name: z.string(),
  name: z.string(),
  prefix: z.string(),
  /** Owners before admins. */
  admins: z.array(z.uuid()),
});

export function revokeLeakedKey(tx: Tx, hash: Buffer, now: Date) {
  return maybe(tx, LeakedKey)`
    select r.key_id, r.org_id, r.org_name, r.name, r.prefix, r.admins from org.revoke_leaked_key(${hash}, ${now}) r`;
}

const Recipient = z.object({ email: z.string(), name: z.string() });

export function findRecipients(tx: Tx, userIds: string[]) {
  return many(tx, Recipient)`select u.email, u.name from auth.find_users(${userIds}) u order by u.id`;
}
