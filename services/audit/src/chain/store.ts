import { maybe, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import type { LogRecord } from './chain.ts';

export type SealedRecord = LogRecord & { hash: Buffer };

/** The next records by sequence. Not parsed row by row: verification reads the whole log. */
export async function listRecords(tx: Tx, after: number, limit: number): Promise<SealedRecord[]> {
  const { rows } = await tx.query({
    name: 'audit_list_records',
    operation: 'select',
    text: `
      select l.seq, l.id, l.type, l.kind, l.org_id, l.actor_kind, l.actor_id, l.actor, l.target_type, l.target_id,
             l.outcome, l.address, l.agent, l.request_id, l.trace_id, l.data, l.occurred_at, l.sealed_at, l.hash
      from audit.log l
      where l.seq > $1
      order by l.seq
      limit $2`,
    values: [after, limit],
  });
  return rows as SealedRecord[];
}

const Ends = z.object({
  head_seq: z.number(),
  head_hash: z.instanceof(Buffer),
  seq: z.number().nullable(),
  hash: z.instanceof(Buffer).nullable(),
});
export type Ends = z.infer<typeof Ends>;

/** The head and the last record of the log, as one statement sees them. */
export async function readEnds(tx: Tx): Promise<Ends | undefined> {
  return maybe(tx, Ends)`
    select h.seq as head_seq, h.hash as head_hash, l.seq, l.hash
    from audit.head h
    left join (select l.seq, l.hash from audit.log l order by l.seq desc limit 1) l on true`;
}
