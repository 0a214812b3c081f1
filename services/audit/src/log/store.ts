import { type Fragment, join, many, sql, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';
import { type LogQuery, PlatformLogEntry } from './entries.ts';

const LogRow = PlatformLogEntry.extend({ occurred_at: z.date().transform((time) => time.toISOString()) });
export type LogRow = z.infer<typeof LogRow>;

type RowQuery = Omit<LogQuery, 'cursor'> & { after: readonly [Date, string] | undefined };

/** Rows after a position, newest first. Statements differ with the filters, so that each gets a plan of its own. */
export function listRows(tx: Tx, query: RowQuery): Promise<LogRow[]> {
  return many(tx, LogRow)`
    select l.seq, encode(l.hash, 'hex') as hash, l.id, l.type as action, l.kind, l.org_id,
           l.actor || jsonb_build_object('kind', l.actor_kind, 'id', l.actor_id) as actor,
           case when l.target_type is not null then jsonb_build_object('type', l.target_type, 'id', l.target_id) end
             as target,
           l.outcome, l.address, l.agent, l.request_id, l.trace_id, l.data, l.occurred_at
    from audit.log l
    where ${join(conditions(query), sql` and `)}
    order by l.occurred_at desc, l.seq desc
    limit ${query.limit}`;
}

function conditions({ org_id, action, actor, target, kind, from, to, after }: RowQuery): Fragment[] {
  const found: Fragment[] = [sql`true`];
  if (org_id) found.push(sql`l.org_id = ${org_id}`);
  if (action) found.push(sql`l.type = ${action}`);
  if (actor) found.push(sql`l.actor_id = ${actor}`);
  if (target) found.push(sql`l.target_id = ${target}`);
  // Written out, and not a parameter: only so does the planner see that the index of admin actions applies.
  if (kind === 'admin_action') found.push(sql`l.kind = 'admin_action'`);
  else if (kind) found.push(sql`l.kind = ${kind}`);
  if (from) found.push(sql`l.occurred_at >= ${from}`);
  if (to) found.push(sql`l.occurred_at < ${to}`);
  if (after) {
    const [time, id] = after;
    found.push(
      sql`(l.occurred_at, l.seq) < (${time}::timestamptz, (select c.seq from audit.log c where c.id = ${id}))`,
    );
  }
  return found;
}
