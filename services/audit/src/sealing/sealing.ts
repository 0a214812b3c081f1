import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@gatehouse/kit/clock';
import type { Pool } from '@gatehouse/kit/db';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import { endsAtHead } from '../chain/verify-chain.ts';
import { seal } from './seal.ts';
import { sealingMetrics } from './sealing-metrics.ts';

interface SealingDeps {
  pool: Pool;
  log: Logger;
  metrics: Metrics;
  clock: Clock;
  /** Pause when nothing waits. */
  idleMs?: number;
}

const IDLE_MS = 200;
const BACKOFF_MAX_MS = 10_000;
const CHECK_EVERY_MS = 60_000;

/** Seals for as long as the process runs: at once while more waits, a short pause when idle, longer ones on errors. */
export function startSealing({ pool, log, metrics, clock, idleMs = IDLE_MS }: SealingDeps) {
  const observe = sealingMetrics(metrics, pool);
  const stopping = new AbortController();
  let nextCheck = 0;
  let failures = 0;

  /** Looks whether the log still ends where the head says. Sealing goes on when not: new evidence does not wait. */
  async function checkEnd(): Promise<void> {
    if (Date.now() < nextCheck) return;
    nextCheck = Date.now() + CHECK_EVERY_MS;
    if (await endsAtHead(pool)) return;
    observe.brokenChain();
    log.error('the audit log does not end where its head says');
  }

  async function turn(): Promise<number> {
    try {
      await checkEnd();
      const sealing = await seal(pool, { clock });
      observe.sealed(sealing.sealed);
      if (sealing.repeated > 0) log.warn('events that the log had were written again', { count: sealing.repeated });
      if (failures > 0) log.info('sealing works again');
      failures = 0;
      return sealing.more ? 0 : idleMs;
    } catch (error) {
      failures += 1;
      if (failures === 1) log.error('sealing failed; events wait in the outbox', errorFields(error));
      return Math.min(idleMs * 2 ** failures, BACKOFF_MAX_MS);
    }
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pauseMs = await turn();
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  const ended = loop();
  return {
    /** Ends after the transaction under way. */
    stop(): Promise<void> {
      stopping.abort();
      return ended;
    },
  };
}
