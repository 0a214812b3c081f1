import { type Db, many, maybe, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const Guest = z.object({ id: z.uuid(), password_hash: z.string() });
export type Guest = z.infer<typeof Guest>;
const Id = z.object({ id: z.uuid() });

interface NewGuest {
  id: string;
  email: string;
  name: string;
  password_hash: string;
  password_tag: number;
  confirm_by: Date;
  now: Date;
}

export async function insertGuest(tx: Tx, guest: NewGuest): Promise<void> {
  const { id, email, name, password_hash, password_tag, confirm_by, now } = guest;
  await run(tx)`
    insert into auth.users (id, email, registered_email, name, role, password_hash, password_tag, confirm_by,
                            created_at, updated_at)
    values (${id}, ${`guest-${id}@invalid`}, ${email}, ${name}, 'guest', ${password_hash}, ${password_tag}, ${confirm_by},
            ${now}, ${now})`;
}

/** The newest guest of an address whose password may be the one with that tag. */
export function findByTag(db: Db, email: string, tag: number, now: Date): Promise<Guest | undefined> {
  return maybe(db, Guest)`
    select u.id, u.password_hash from auth.users u
    where u.registered_email = ${email} and u.password_tag = ${tag} and u.status = 'active' and u.confirm_by > ${now}
    order by u.created_at desc, u.id desc
    limit 1`;
}

/** Makes and ends guests of an address one transaction after another. */
export async function lockGuests(tx: Tx, email: string): Promise<void> {
  await run(tx)`select pg_advisory_xact_lock(hashtextextended(${`auth.guests ${email}`}, 0))`;
}

/**
 * Ends the visits to an address, but for the newest `keep`, and tells whose. Whoever signs in as one of them holds the
 * row, so that the session is there to be ended after this.
 */
export async function endGuests(tx: Tx, email: string, { keep, now }: { keep: number; now: Date }): Promise<string[]> {
  const ended = await many(tx, Id)`
    update auth.users u
    set status = 'deleted', email = 'deleted-' || u.id || '@invalid', name = 'Deleted', password_hash = null,
      password_tag = null, updated_at = ${now}
    where u.id in (
      select g.id from auth.users g
      where g.registered_email = ${email} and g.status <> 'deleted'
      order by g.created_at desc, g.id desc
      offset ${keep})
    returning u.id`;
  return ended.map(({ id }) => id);
}

/** Which of these addresses have guests. */
export async function listVisited(tx: Tx, emails: string[]): Promise<string[]> {
  const visited = await many(tx, z.object({ email: z.string() }))`
    select distinct u.registered_email as email from auth.users u
    where u.registered_email = any (${emails}::text[]) and u.status <> 'deleted'
    order by email`;
  return visited.map(({ email }) => email);
}
