import type { EventType } from '@gatehouse/contracts/events';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Pool, platformTransaction } from '@gatehouse/kit/db';
import { decodeCursor, type Page, type PageOf, toPage } from '@gatehouse/kit/page';
import { z } from 'zod';
import { type HistoryRow, listHistory } from './store.ts';

/** What of an account's events is about getting in, and about being out again. */
export const HISTORY: readonly EventType[] = [
  'auth.login_succeeded.v1',
  'auth.login_failed.v1',
  'auth.factor_refused.v1',
  'auth.challenge_refused.v1',
  'auth.recovery_code_used.v1',
  'auth.reauthentication_failed.v1',
  'auth.logout.v1',
  'auth.session_revoked.v1',
  'auth.refresh_reuse.v1',
  'auth.device_added.v1',
  'auth.device_trusted.v1',
  'auth.device_revoked.v1',
  'auth.not_me.v1',
  'auth.account_locked.v1',
  'auth.account_unlocked.v1',
];

// Attempts at the account, told with the address that they came from even where somebody else was signed in there.
const ATTEMPTS: ReadonlySet<string> = new Set<EventType>([
  'auth.login_succeeded.v1',
  'auth.login_failed.v1',
  'auth.factor_refused.v1',
  'auth.challenge_refused.v1',
  'auth.device_added.v1',
  'auth.account_locked.v1',
]);

/** One event of the own account, as its owner is told of it. */
export const HistoryEntry = z.object({
  id: z.uuid(),
  action: z.string(),
  outcome: z.string(),
  at: z.iso.datetime(),
  address: z.string().nullable(),
  agent: z.string().nullable(),
  /** How the account was, or should have been, signed in to. */
  method: z.string().nullable(),
  session_id: z.uuid().nullable(),
  device_id: z.uuid().nullable(),
  reason: z.string().nullable(),
});
type HistoryEntry = z.infer<typeof HistoryEntry>;

// Time and id of the last entry of the page before.
const Position = z.tuple([z.iso.datetime().transform((text) => new Date(text)), z.uuid()]);

/** A page of the caller's own sign-ins and what became of them, newest first. */
export function readHistory(pool: Pool, actor: UserActor, { limit, cursor }: Page): Promise<PageOf<HistoryEntry>> {
  const { user_id } = actor;
  const scope = `login-history:${user_id}`;
  const after = decodeCursor(scope, Position, cursor);
  // Most of these events belong to no organization, so its policy shows them to nobody else.
  return platformTransaction(pool, async (tx) => {
    const rows = await listHistory(tx, { user_id, types: HISTORY, after, limit: limit + 1 });
    const page = toPage(rows, limit, scope, (row) => [row.at, row.id]);
    return { ...page, data: page.data.map((row) => told(row, user_id)) };
  });
}

/** Where an administrator sits when ending somebody's session is the administrator's own affair. */
function told({ actor_id, ...row }: HistoryRow, userId: string): HistoryEntry {
  const foreign = actor_id !== null && actor_id !== userId && !ATTEMPTS.has(row.action);
  return { ...row, address: foreign ? null : row.address, agent: foreign ? null : row.agent };
}
