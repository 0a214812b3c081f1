import type { Tx } from '@gatehouse/kit/db';
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
