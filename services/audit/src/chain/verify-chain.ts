import { type Pool, platformTransaction } from '@gatehouse/kit/db';
import { chainHash, GENESIS } from './chain.ts';
import { listRecords, readEnds, type SealedRecord } from './store.ts';

/** What is wrong at the first sequence where the log and its chain part. */
export interface Finding {
  seq: number;
  problem: 'edited' | 'missing' | 'swapped' | 'cut' | 'beyond the head' | 'head differs';
  /** The other sequence of a swapped pair. */
  other?: number;
}

export type Verification =
  | { intact: true; records: number; hash: Buffer }
  | { intact: false; records: number; finding: Finding };

const BATCH = 2_000;

/**
 * Recomputes the whole chain, in batches, while the service may go on sealing, and compares its end with the head.
 * Whoever can rewrite the log and the head can also rebuild the chain: that shows only against a copy of an older head.
 */
export async function verifyChain(pool: Pool, batch = BATCH): Promise<Verification> {
  let last = { seq: 0, hash: GENESIS };
  const bad = (finding: Finding): Verification => ({ intact: false, records: finding.seq - 1, finding });
  for (;;) {
    const records = await platformTransaction(pool, (tx) => listRecords(tx, last.seq, batch));
    for (const record of records) {
      const seq = last.seq + 1;
      if (record.seq !== seq) return bad({ seq, problem: 'missing' });
      if (!chainHash(last.hash, record).equals(record.hash)) return bad(await explain(pool, last.hash, record));
      last = record;
    }
    if (records.length > 0) continue;

    const end = await platformTransaction(pool, readEnds);
    if (!end) return bad({ seq: last.seq + 1, problem: 'head differs' });
    if (end.seq !== null && end.seq > last.seq && end.head_seq > last.seq) continue; // Sealed since the last batch.
    if (end.head_seq > last.seq) return bad({ seq: last.seq + 1, problem: 'cut' });
    if (end.head_seq < last.seq) return bad({ seq: end.head_seq + 1, problem: 'beyond the head' });
    if (!end.head_hash.equals(last.hash)) return bad({ seq: last.seq, problem: 'head differs' });
    return { intact: true, records: last.seq, hash: last.hash };
  }
}

/** Whether a record further on fits here (then the two changed places), or this one was edited. */
async function explain(pool: Pool, previous: Buffer, record: SealedRecord): Promise<Finding> {
  const { seq } = record;
  for (let after = seq; ; ) {
    const later = await platformTransaction(pool, (tx) => listRecords(tx, after, BATCH));
    for (const other of later) {
      after = other.seq;
      const hash = chainHash(previous, { ...other, seq });
      // Its hash moved with it, or stayed where it was.
      if (hash.equals(other.hash) || hash.equals(record.hash)) return { seq, problem: 'swapped', other: other.seq };
    }
    if (later.length === 0) return { seq, problem: 'edited' };
  }
}

/** Whether the log ends where its head says: one look at both ends, not a verification of what lies between. */
export async function endsAtHead(pool: Pool): Promise<boolean> {
  const ends = await platformTransaction(pool, readEnds);
  return !!ends && ends.head_seq === (ends.seq ?? 0) && ends.head_hash.equals(ends.hash ?? GENESIS);
}
