import { maybe, one, type Pool, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import type { LogRecord } from '../chain/chain.ts';

export const Head = z.object({ seq: z.number(), hash: z.instanceof(Buffer) });
export type Head = z.infer<typeof Head>;

/** An event on its way into the log: everything but what sealing gives it. */
export type PendingEvent = Omit<LogRecord, 'seq' | 'sealed_at'> & { position: number };

/**
 * The outbox is empty most of the time and its statistics say so: the planner would keep a plan that reads all of it
 * when there is a backlog. With the other ways switched off it goes through the index, whatever the statistics say.
 */
export async function planByIndex(tx: Tx): Promise<void> {
  await run(tx)`
    select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
           set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('enable_sort', 'off', true)`;
}

/**
 * Locks the head of the chain: whoever holds it is the only one who seals. Undefined while another does.
 * Where the row changed after this statement began, `for update` reads it anew, so the head is never an old one.
 */
export function lockHead(tx: Tx): Promise<Head | undefined> {
  return maybe(tx, Head)`select h.seq, h.hash from audit.head h for update skip locked`;
}

// Read and written by one expression each, so that what is hashed is what is stored.
const ACTOR_KIND = `coalesce(o.actor->>'kind', 'unknown')`;
const ACTOR_ID = `coalesce(o.actor->>'user_id', o.actor->>'key_id')`;

/**
 * The lowest events after `position`. That is only how one transaction passes over what it already holds: the next one
 * begins at the bottom again, so an event is not missed when it commits after others with higher positions.
 * No row is locked: the head is, and nobody else may delete here. Not parsed row by row: this is the hot path.
 */
export async function listPending(tx: Tx, position: number, limit: number): Promise<PendingEvent[]> {
  const { rows } = await tx.query({
    name: 'audit_list_pending',
    operation: 'select',
    text: `
      select o.position, o.id, o.type, o.kind, o.org_id, ${ACTOR_KIND} as actor_kind, ${ACTOR_ID} as actor_id,
             o.actor, o.target_type, o.target_id, o.outcome, o.address, o.agent, o.request_id, o.trace_id, o.data,
             o.occurred_at
      from events.outbox o
      where o.position > $1
      order by o.position
      limit $2`,
    values: [position, limit],
  });
  return rows as PendingEvent[];
}

interface Sealed {
  positions: number[];
  /** Sequence before the first. */
  after: number;
  /** 32 bytes for each, one behind the other. */
  hashes: Buffer;
  sealed_at: Date;
}

/** Moves events from the outbox into the log: the database has them, so only positions and hashes travel. */
export async function moveToLog(tx: Tx, { positions, after, hashes, sealed_at }: Sealed): Promise<number> {
  const { rowCount } = await tx.query({
    name: 'audit_move_to_log',
    operation: 'with',
    text: `
      with batch as materialized (
        select p.position, p.n, substr($2::bytea, ((p.n - 1) * 32 + 1)::integer, 32) as hash
        from unnest($1::bigint[]) with ordinality as p (position, n)
      ), taken as (
        delete from events.outbox o using batch b where o.position = b.position returning b.n, b.hash, o.*
      )
      insert into audit.log (seq, id, type, kind, org_id, actor_kind, actor_id, actor, target_type, target_id, outcome,
                             address, agent, request_id, trace_id, data, occurred_at, sealed_at, hash)
      select $3::bigint + o.n, o.id, o.type, o.kind, o.org_id, ${ACTOR_KIND}, ${ACTOR_ID}, o.actor, o.target_type,
             o.target_id, o.outcome, o.address, o.agent, o.request_id, o.trace_id, o.data, o.occurred_at, $4, o.hash
      from taken o`,
    values: [positions, hashes, after, sealed_at],
  });
  return rowCount ?? 0;
}

/** Deletes from the outbox what the log has, and tells how many that were. The caller holds the head. */
export function deleteSealed(tx: Tx): Promise<number> {
  return run(tx)`delete from events.outbox o using audit.log l where l.id = o.id`;
}

export async function updateHead(tx: Tx, { seq, hash }: Head): Promise<void> {
  await run(tx)`update audit.head set seq = ${seq}, hash = ${hash}`;
}

/** How many events wait to be sealed; counts up to 100,000. */
export async function countPending(pool: Pool): Promise<number> {
  const { count } = await one(pool, z.object({ count: z.number() }))`
    select count(*) as count from (select from events.outbox limit 100000) o`;
  return count;
}
