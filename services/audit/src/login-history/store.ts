import { many, sql, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const HistoryRow = z.object({
  id: z.uuid(),
  action: z.string(),
  outcome: z.string(),
  at: z.date().transform((time) => time.toISOString()),
  actor_id: z.string().nullable(),
  address: z.string().nullable(),
  agent: z.string().nullable(),
  method: z.string().nullable(),
  session_id: z.uuid().nullable(),
  device_id: z.uuid().nullable(),
  reason: z.string().nullable(),
});
export type HistoryRow = z.infer<typeof HistoryRow>;

interface HistoryQuery {
  user_id: string;
  types: readonly string[];
  after: readonly [Date, string] | undefined;
  limit: number;
}

/** Events about one account, newest first: a page of the account's own index, and then the records on it. */
export function listHistory(tx: Tx, { user_id, types, after, limit }: HistoryQuery): Promise<HistoryRow[]> {
  const position = after
    ? sql`(e.occurred_at, e.seq) < (${after[0]}::timestamptz, (select c.seq from audit.log c where c.id = ${after[1]}))`
    : sql`true`;
  return many(tx, HistoryRow)`
    select l.id, l.type as action, l.outcome, l.occurred_at as at, l.actor_id, nullif(l.address, '') as address,
           nullif(l.agent, '') as agent, coalesce(l.data->>'second_factor', l.data->>'method') as method,
           l.data->>'session_id' as session_id, l.data->>'device_id' as device_id, l.data->>'reason' as reason
    from (
      select e.seq
      from audit.account_events e
      where e.user_id = ${user_id} and e.type = any(${types}::text[]) and ${position}
      order by e.occurred_at desc, e.seq desc
      limit ${limit}
    ) page join audit.log l on l.seq = page.seq
    order by l.occurred_at desc, l.seq desc`;
}
