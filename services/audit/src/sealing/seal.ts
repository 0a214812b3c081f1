import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@gatehouse/kit/clock';
import { type Pool, platformTransaction, type Tx, violates } from '@gatehouse/kit/db';
import { chainHash } from '../chain/chain.ts';
import {
  deleteSealed,
  type Head,
  listPending,
  lockHead,
  moveToLog,
  type PendingEvent,
  planByIndex,
  updateHead,
} from './store.ts';

// Measured: chunks of 500 hide the hashing behind the database's work best; 40 of them share the price of a commit.
const CHUNK = 500;
const CHUNKS_MAX = 40;

export interface SealOptions {
  clock: Clock;
  chunk?: number;
  chunksMax?: number;
}

export interface Sealing {
  /** What was sealed, for the metrics. */
  sealed: { outcome: string; lagSeconds: number }[];
  /** Whether more was waiting than one transaction takes. */
  more: boolean;
  /** Events that the log had already: a writer that did not hear of its commit wrote them again. */
  repeated: number;
}

/**
 * Seals what waits in the outbox: each event leaves it and enters the log in the same transaction, so it is there
 * exactly once whatever happens in between. One sealer at a time; a second one finds nothing to do.
 */
export async function seal(pool: Pool, options: SealOptions): Promise<Sealing> {
  try {
    return await sealPending(pool, options);
  } catch (error) {
    if (!violates(error, 'log_id_key')) throw error;
    const repeated = await removeSealed(pool);
    return { ...(await sealPending(pool, options)), repeated };
  }
}

/** Takes events that are in the log out of the outbox; left there, each of them would hold up all others for ever. */
function removeSealed(pool: Pool): Promise<number> {
  return platformTransaction(pool, async (tx) => {
    if (!(await lockHead(tx))) return 0;
    await planByIndex(tx);
    return deleteSealed(tx);
  });
}

function sealPending(pool: Pool, { clock, chunk = CHUNK, chunksMax = CHUNKS_MAX }: SealOptions): Promise<Sealing> {
  return platformTransaction(pool, async (tx) => {
    const sealing: Sealing = { sealed: [], more: false, repeated: 0 };
    const head = await lockHead(tx);
    if (!head) return sealing;
    await planByIndex(tx);

    const before = head.seq;
    let events = await listPending(tx, 0, chunk);
    let moving: Promise<void> = Promise.resolve();
    for (let chunks = 1; events.length > 0; chunks++) {
      // The database moves the chunk before while this one is hashed; the statement goes out before hashing begins.
      await setImmediate();
      const { batch, sealed } = link(head, events, clock());
      sealing.sealed.push(...sealed);
      await moving;
      sealing.more = events.length === chunk && chunks === chunksMax;
      events = events.length < chunk || sealing.more ? [] : await listPending(tx, batch.positions.at(-1) ?? 0, chunk);
      moving = moveAll(tx, batch);
      // It may fail before the next chunk waits for it, and a rejection that nobody waits for ends the process.
      moving.catch(() => undefined);
    }
    await moving;
    if (head.seq > before) await updateHead(tx, head);
    return sealing;
  });
}

/** Hashes events onto the chain and moves its head. */
function link(head: Head, events: PendingEvent[], sealed_at: Date) {
  const batch = { positions: [] as number[], after: head.seq, hashes: Buffer.alloc(32 * events.length), sealed_at };
  const sealed: Sealing['sealed'] = [];
  for (const [index, event] of events.entries()) {
    head.seq += 1;
    head.hash = chainHash(head.hash, { ...event, seq: head.seq, sealed_at });
    head.hash.copy(batch.hashes, 32 * index);
    batch.positions.push(event.position);
    const lagSeconds = Math.max(0, sealed_at.getTime() - event.occurred_at.getTime()) / 1000;
    sealed.push({ outcome: event.outcome, lagSeconds });
  }
  return { batch, sealed };
}

async function moveAll(tx: Tx, batch: Parameters<typeof moveToLog>[1]): Promise<void> {
  const moved = await moveToLog(tx, batch);
  if (moved !== batch.positions.length)
    throw new Error(`${moved} of ${batch.positions.length} events moved: someone else takes from the outbox`);
}
