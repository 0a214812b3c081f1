import { systemActor } from '@gatehouse/kit/actor';
import type { Clock } from '@gatehouse/kit/clock';
import { type Pool, transaction } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { discardClaims } from '../accounts/accounts.ts';
import { endGuestsOfAll } from '../guests/guests.ts';
import { accountOf } from './account.ts';
import { hashOf, type Line, readLines } from './lines.ts';
import {
  advance,
  beginImport,
  findOtherUnfinished,
  finishImport,
  type Import,
  type ImportedUser,
  insertRefusals,
  insertUsers,
  type Refusal,
} from './store.ts';

const BATCH_LINES = 500;
/** An import has no Redis: what the gateway remembers of a guest's session ends by itself, within seconds. */
const WITHOUT_REDIS = { invalidate: async () => undefined };

/** Why an import cannot go on, in one line for who runs it. */
export class ImportError extends Error {}

interface ImportOptions {
  pool: Pool;
  clock: Clock;
  /** Where the file lies, as it is remembered. */
  path: string;
  /** Takes a file that was changed in the middle of its import as a new one. */
  anew: boolean;
  /** Called for each refused line, once: after the commit that counted it. */
  onRefused: (refusal: Refusal) => void;
  onBegin: (resumed: Import) => void;
}

/**
 * Imports users from a file of one JSON object a line. Each batch is one transaction: accounts, refused lines, the event
 * and how far it has come, so that a run that was killed goes on behind the last batch and does no line twice.
 *
 * The log gets one event for each batch, with the ids of its accounts: as many as there are batches, so that an import
 * does not crowd out what people do meanwhile, and still every account can be found in it.
 */
export async function importUsers(options: ImportOptions): Promise<Import> {
  const { pool, clock, path } = options;
  const fileHash = await hashOf(path);
  const other = await findOtherUnfinished(pool, fileHash, path);
  if (other && !options.anew)
    throw new ImportError(
      `the file was changed since ${other.line} lines of it were imported; put the old one back, or add ANEW=1 to import it from its first line (addresses that are there already are refused)`,
    );
  const begun = await beginImport(pool, fileHash, path, clock());
  options.onBegin(begun);
  if (begun.finished_at !== null) return begun;

  let done = begun.line;
  let batch: Line[] = [];
  const lines = readLines(path);
  for (;;) {
    const next = await lines.next();
    if (!next.done && next.value.number > done) batch.push(next.value);
    if (batch.length === BATCH_LINES || (next.done && batch.length > 0)) {
      done = await importBatch(options, fileHash, done, batch);
      batch = [];
    }
    if (!next.done) continue;
    if (!next.value.equals(fileHash)) throw new ImportError(`the file was changed while ${done} lines of it were read`);
    return finishImport(pool, fileHash, clock());
  }
}

async function importBatch(
  { pool, clock, onRefused }: ImportOptions,
  fileHash: Buffer,
  from: number,
  lines: Line[],
): Promise<number> {
  const now = clock();
  const to = lines.at(-1)?.number ?? from;
  const { users, refusals } = sorted(lines, now);
  const actor = systemActor('auth-import', newId());
  const refused = await transaction(pool, async (tx) => {
    await discardClaims(
      tx,
      users.map(({ user }) => user.email),
      now,
    );
    const created = await insertUsers(
      tx,
      users.map(({ user }) => user),
      now,
    );
    const taken = users
      .filter(({ user }) => !created.has(user.id))
      .map(({ line }) => ({ line, reason: 'email: has an account' }));
    const all = [...refusals, ...taken].sort((a, b) => a.line - b.line);
    await insertRefusals(tx, fileHash, all);
    const emails = users.filter(({ user }) => created.has(user.id)).map(({ user }) => user.email);
    await endGuestsOfAll({ clock, facts: WITHOUT_REDIS }, tx, actor, emails);
    if (!(await advance(tx, fileHash, { from, to, created: created.size, refused: all.length })))
      throw new ImportError('another run imports this file at this moment');
    const data = {
      file_hash: fileHash.toString('hex'),
      from_line: from + 1,
      to_line: to,
      user_ids: [...created],
      refused: all.length,
    };
    await publish(tx, actor, 'auth.users_imported.v1', data);
    return all;
  });
  for (const refusal of refused) onRefused(refusal);
  return to;
}

function sorted(lines: Line[], now: Date) {
  const users: { line: number; user: ImportedUser }[] = [];
  const refusals: Refusal[] = [];
  for (const line of lines) {
    const account = accountOf(line, now);
    if (account === undefined) continue;
    if ('refused' in account) refusals.push({ line: line.number, reason: account.refused });
    else users.push({ line: line.number, user: account });
  }
  return { users, refusals };
}
