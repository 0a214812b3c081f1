import { type Db, many, run } from '@gatehouse/kit/db';
import { z } from 'zod';

const Row = z.object({ id: z.string(), owner: z.string(), sealed: z.instanceof(Buffer) });
export type Row = z.infer<typeof Row>;

export interface Page {
  /** The id that the page before ended with. */
  after: string;
  limit: number;
}

/** A value sealed anew; written only where the row still holds `old`. */
export interface Change {
  id: string;
  old: Buffer;
  sealed: Buffer;
}

const columns = (changes: readonly Change[]) => ({
  ids: changes.map(({ id }) => id),
  olds: changes.map(({ old }) => old),
  news: changes.map(({ sealed }) => sealed),
});

export function pageOfSeeds(db: Db, { after, limit }: Page): Promise<Row[]> {
  return many(db, Row)`
    select f.id, f.user_id as owner, f.secret_sealed as sealed from auth.factors f
    where f.id > ${after} and f.secret_sealed is not null
    order by f.id limit ${limit}`;
}

/** Passes over rows that somebody works on: the next round finds them, and nobody waits for another in a circle. */
export function updateSeeds(db: Db, changes: readonly Change[]): Promise<number> {
  const { ids, olds, news } = columns(changes);
  return run(db)`
    with free as (
      select f.id from auth.factors f where f.id = any (${ids}::uuid[]) order by f.id for no key update skip locked)
    update auth.factors f set secret_sealed = c.sealed
    from free, unnest(${ids}::uuid[], ${olds}::bytea[], ${news}::bytea[]) as c (id, old, sealed)
    where f.id = free.id and f.id = c.id and f.secret_sealed = c.old`;
}

/** Ended ones too, for as long as they are kept: who shows a token of one is still told that it has ended. */
export function pageOfSessions(db: Db, { after, limit }: Page): Promise<Row[]> {
  return many(db, Row)`
    select s.id, s.user_id as owner, s.key_sealed as sealed from auth.sessions s
    where s.id > ${after}
    order by s.id limit ${limit}`;
}

export function updateSessions(db: Db, changes: readonly Change[]): Promise<number> {
  const { ids, olds, news } = columns(changes);
  return run(db)`
    with free as (
      select s.id from auth.sessions s where s.id = any (${ids}::uuid[]) order by s.id for no key update skip locked)
    update auth.sessions s set key_sealed = c.sealed
    from free, unnest(${ids}::uuid[], ${olds}::bytea[], ${news}::bytea[]) as c (id, old, sealed)
    where s.id = free.id and s.id = c.id and s.key_sealed = c.old`;
}

export function pageOfSigningKeys(db: Db, { after, limit }: Page): Promise<Row[]> {
  return many(db, Row)`
    select k.kid as id, 'auth' as owner, k.private_sealed as sealed from auth.signing_keys k
    where k.kid > ${after} and k.private_sealed is not null
    order by k.kid limit ${limit}`;
}

export function updateSigningKeys(db: Db, changes: readonly Change[]): Promise<number> {
  const { ids, olds, news } = columns(changes);
  return run(db)`
    with free as (
      select k.kid from auth.signing_keys k where k.kid = any (${ids}::text[]) order by k.kid
      for no key update skip locked)
    update auth.signing_keys k set private_sealed = c.sealed
    from free, unnest(${ids}::text[], ${olds}::bytea[], ${news}::bytea[]) as c (kid, old, sealed)
    where k.kid = free.kid and k.kid = c.kid and k.private_sealed = c.old`;
}
