import { type Db, run } from '@gatehouse/kit/db';

/** A row of the outbox, as the audit service seals it. */
export interface EventRow {
  id: string;
  type: string;
  kind: string;
  org_id: string | null;
  actor: Record<string, unknown>;
  outcome: 'denied';
  address: string;
  agent: string;
  request_id: string;
  trace_id: string;
  data: Record<string, unknown>;
}

/** Fails when the database does not answer. */
export function ping(db: Db): Promise<number> {
  return run(db)`select 1`;
}

/** Inserts a batch in one statement; what an attempt before has written, though its answer was lost, stays as it is. */
export async function insertEvents(db: Db, rows: readonly EventRow[]): Promise<void> {
  await run(db)`
    insert into events.outbox (id, type, kind, org_id, actor, outcome, address, agent, request_id, trace_id, data)
    select r.id, r.type, r.kind, r.org_id, r.actor, r.outcome, r.address, r.agent, r.request_id, r.trace_id, r.data
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(
      id uuid, type text, kind text, org_id uuid, actor jsonb, outcome text, address text, agent text,
      request_id text, trace_id text, data jsonb)
    on conflict do nothing`;
}
