import type { Pool } from '@gatehouse/kit/db';
import { z } from 'zod';

export interface LogDeps {
  pool: Pool;
}

/** One record as an organization sees it. Its sequence stays inside: it would tell how much others do. */
export const LogEntry = z.object({
  id: z.uuid(),
  action: z.string(),
  kind: z.string(),
  org_id: z.uuid().nullable(),
  actor: z.looseObject({ kind: z.string(), id: z.string().nullable() }),
  target: z.object({ type: z.string(), id: z.string() }).nullable(),
  outcome: z.string(),
  address: z.string().nullable(),
  agent: z.string().nullable(),
  request_id: z.string().nullable(),
  trace_id: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
  occurred_at: z.iso.datetime(),
});

/** The same with its place in the chain, for platform admins. */
export const PlatformLogEntry = LogEntry.extend({ seq: z.number(), hash: z.string() });

export interface LogQuery {
  limit: number;
  cursor?: string | undefined;
  action?: string | undefined;
  actor?: string | undefined;
  target?: string | undefined;
  kind?: string | undefined;
  org_id?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}
