import { ERRORS } from '@gatehouse/contracts/errors';
import { EVENTS } from '@gatehouse/contracts/events';
import type { Db } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { plain } from '@gatehouse/kit/text';
import type { Refusal } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import { type EventRow, insertEvents } from './store.ts';

const FLUSH_MS = 200;
const BATCH_MAX = 500;
const PENDING_MAX = 10_000;
const RETRY_MS = 1_000;

interface Options {
  db: Db;
  log: Logger;
  /** Told how many events found no room. */
  dropped: (count: number) => void;
}

/**
 * The record of refused requests. Collected and written several times a second, never in a request's way; while the
 * database is away up to 10,000 wait, and what finds no room is counted.
 */
export function createAccessEvents({ db, log, dropped }: Options) {
  let pending: EventRow[] = [];
  let writing: Promise<void> | undefined;
  let pausedUntil = 0;

  async function writeAll(): Promise<void> {
    while (pending.length > 0) {
      const batch = pending.slice(0, BATCH_MAX);
      try {
        await insertEvents(db, batch);
        pending = pending.slice(batch.length);
      } catch (error) {
        pausedUntil = performance.now() + RETRY_MS;
        log.warn('refused requests could not be recorded yet', { ...errorFields(error), count: pending.length });
        return;
      }
    }
  }

  function flush(): Promise<void> {
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  const timer = setInterval(() => {
    if (pending.length > 0 && performance.now() >= pausedUntil) flush().catch(() => undefined);
  }, FLUSH_MS);
  timer.unref();

  return {
    record(exchange: Exchange, refusal: Refusal): void {
      if (pending.length >= PENDING_MAX) return dropped(1);
      pending.push(eventOf(exchange, refusal));
    },
    flush,
    async close(): Promise<void> {
      clearInterval(timer);
      await flush();
      if (pending.length > 0) dropped(pending.length);
    },
  };
}

export type AccessEvents = ReturnType<typeof createAccessEvents>;

const TYPE = 'access.denied.v1';

function eventOf(exchange: Exchange, refusal: Refusal): EventRow {
  const { principal, standing, head } = exchange;
  const status = ERRORS[refusal.code].status;
  return {
    id: newId(),
    type: TYPE,
    kind: EVENTS[TYPE].kind,
    org_id: standing.org?.id ?? null,
    actor: {
      kind: principal.kind,
      ...(principal.kind === 'user' ? { user_id: principal.user_id, session_id: principal.session_id } : {}),
      ...(standing.key_id ? { key_id: standing.key_id } : {}),
      ...(standing.role ? { role: standing.role } : {}),
      ...(standing.org ? { org_role: standing.org.role } : {}),
    },
    outcome: 'denied',
    address: exchange.address,
    agent: plain(head.agent),
    request_id: exchange.requestId,
    trace_id: exchange.traceId,
    data: {
      method: exchange.methodLabel,
      route: exchange.template,
      status,
      code: refusal.code,
      ...(refusal.reason ? { reason: refusal.reason } : {}),
    },
  };
}
