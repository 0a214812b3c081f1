import { orgTransaction, type Pool, platformTransaction, type Tx } from '@gatehouse/kit/db';
import { decodeCursor, type PageOf, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import type { LogQuery } from './entries.ts';
import { type LogRow, listRows } from './store.ts';

// Time and id of the last record of the page before.
const Position = z.tuple([z.iso.datetime().transform((text) => new Date(text)), z.uuid()]);

/** A page of the log: of the organization in the query under its own policy, or of the whole platform. */
export function listLog(pool: Pool, query: LogQuery, { platform }: { platform: boolean }): Promise<PageOf<LogRow>> {
  const { limit, cursor, ...filters } = query;
  // The cursor belongs to this list with these filters, and to nobody else's.
  const scope = `audit:${JSON.stringify([platform, filters.org_id, filters.action, filters.actor, filters.target, filters.kind, filters.from, filters.to])}`;
  const after = decodeCursor(scope, Position, cursor);
  const read = async (tx: Tx) => {
    const rows = await listRows(tx, { ...filters, after, limit: limit + 1 });
    return toPage(rows, limit, scope, (row) => [row.occurred_at, row.id]);
  };
  if (platform) return platformTransaction(pool, read);
  if (!query.org_id) throw new Error('a page of the log needs an organization');
  return orgTransaction(pool, query.org_id, read);
}
