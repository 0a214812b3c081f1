import { setTimeout as delay } from 'node:timers/promises';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { type DispatchDeps, dispatchDue, dispatchLost } from './dispatch.ts';

interface DispatchingDeps extends DispatchDeps {
  log: Logger;
  /** Called after every turn that worked. */
  beat: () => void;
  /** False: nothing is handed out for now. */
  mayRun?: () => boolean;
  idleMs?: number;
  sweepMs?: number;
}

const IDLE_MS = 200;
const SWEEP_MS = 5_000;
const BACKOFF_MAX_MS = 5_000;

/** Hands out what is due for as long as the process runs; while Redis or Postgres is away it waits and tries again. */
export function startDispatching(deps: DispatchingDeps) {
  const { log, beat, idleMs = IDLE_MS, sweepMs = SWEEP_MS } = deps;
  const stopping = new AbortController();
  let nextSweep = 0;
  let failures = 0;

  async function turn(): Promise<number> {
    if (deps.mayRun?.() === false) return idleMs;
    try {
      let count = await dispatchDue(deps);
      if (performance.now() >= nextSweep) {
        count += await dispatchLost(deps);
        nextSweep = performance.now() + sweepMs;
      }
      if (failures > 0) log.info('jobs are handed out again');
      failures = 0;
      beat();
      return count > 0 ? 0 : idleMs;
    } catch (error) {
      failures += 1;
      if (failures === 1) log.error('jobs cannot be handed out; they wait', errorFields(error));
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
    stop(): Promise<void> {
      stopping.abort();
      return ended;
    },
  };
}
