import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection, Pool, Tx } from './db.ts';
import { asUnavailable, isLost, isRetryable } from './db-errors.ts';

/** What runs inside every transaction of a scope: after BEGIN, and before COMMIT with what the transaction returns. */
export interface TransactionHooks {
  afterBegin?(tx: Tx): Promise<void>;
  beforeCommit?(tx: Tx, result: unknown): Promise<void>;
  /** Not called for an attempt that runs again. */
  afterCommit?(): void;
}

/** Carries the hooks for the transactions that a request opens: `transactionScope.run(hooks, handler)`. */
export const transactionScope = new AsyncLocalStorage<TransactionHooks>();

const ATTEMPTS = 4;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Runs `fn` in a transaction and commits what it did, unless it throws. A deadlock, a serialization failure or a
 * connection lost before COMMIT runs it again, up to three times: `fn` changes nothing but the database.
 */
export function transaction<T>(pool: Pool, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return repeated(pool, 'begin', fn);
}

/** A transaction for one organization: row-level security shows it that organization's rows and no others. */
export function orgTransaction<T>(pool: Pool, orgId: string, fn: (tx: Tx) => Promise<T>): Promise<T> {
  // The value goes into the text, where it costs no round trip; this check is what makes that safe.
  if (!UUID.test(orgId)) throw new Error('the organization of a transaction is not a UUID');
  return repeated(pool, `begin; set local gatehouse.org_id = '${orgId}'`, fn);
}

/** A transaction that sees the rows of every organization: platform administration and work that spans them. */
export function platformTransaction<T>(pool: Pool, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return repeated(pool, "begin; set local gatehouse.platform = 'on'", fn);
}

async function repeated<T>(pool: Pool, begin: string, fn: (tx: Tx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const connection = await pool.acquire();
    const progress = { committing: false };
    try {
      return await attempted(connection, begin, fn, progress);
    } catch (error) {
      // A connection lost in COMMIT leaves open whether it took place, so that is for the caller to find out.
      const again = isRetryable(error) || (isLost(error) && connection.unusable && !progress.committing);
      if (!again || attempt === ATTEMPTS) throw asUnavailable(error);
    } finally {
      connection.release();
    }
    await delay(Math.random() * 25 * attempt);
  }
}

async function attempted<T>(
  connection: Connection,
  begin: string,
  fn: (tx: Tx) => Promise<T>,
  progress: { committing: boolean },
): Promise<T> {
  const hooks = transactionScope.getStore();
  const { tx, finish } = openTx(connection);
  try {
    await connection.send(begin);
    await hooks?.afterBegin?.(tx);
    const result = await fn(tx);
    await hooks?.beforeCommit?.(tx, result);
    await finish();
    progress.committing = true;
    const { command } = await connection.send('commit');
    // After a failed statement COMMIT rolls back and reports success: fn must have swallowed that failure.
    if (command === 'ROLLBACK') throw new Error('the transaction was rolled back: a failed statement was ignored');
    hooks?.afterCommit?.();
    return result;
  } catch (error) {
    await finish();
    if (!connection.unusable) await connection.send('rollback').catch(() => (connection.unusable = true));
    throw error;
  }
}

/** Statements of one transaction run one after another, also when fn does not wait for each. */
function openTx(connection: Connection): { tx: Tx; finish: () => Promise<unknown> } {
  let last: Promise<unknown> = Promise.resolve();
  let over = false;
  return {
    tx: {
      kind: 'tx',
      query(statement) {
        if (over) return Promise.reject(new Error('the transaction is over'));
        const result = last.then(() => connection.query(statement));
        last = result.catch(() => undefined);
        return result;
      },
    },
    finish() {
      over = true;
      return last;
    },
  };
}
