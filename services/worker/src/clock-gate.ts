import type { Clock } from '@gatehouse/kit/clock';
import { CLOCK_SKEW_MAX_MS, clockSkewMs } from '@gatehouse/kit/clock-check';
import type { Pool } from '@gatehouse/kit/db';
import type { Logger } from '@gatehouse/kit/log';

interface GateOptions {
  pool: Pool;
  clock: Clock;
  log: Logger;
  onRight: () => void;
  onWrong: () => void;
  everyMs?: number;
}

const EVERY_MS = 2_000;

/**
 * Looks at once and again and again whether this machine's clock is the database's. Leases, pauses and the schedule are times that
 * every worker reads: one whose clock is off would take what another works on, or put it off for as long. While it is,
 * the worker takes nothing. A database that is away says nothing about the clock, and all stays as it was.
 */
export function startClockGate({ pool, clock, log, onRight, onWrong, everyMs = EVERY_MS }: GateOptions) {
  let right: boolean | undefined;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    const skewMs = await clockSkewMs(pool, clock).catch(() => undefined);
    if (stopped) return;
    if (skewMs !== undefined) judge(skewMs);
    timer = setTimeout(look, right === undefined ? Math.min(everyMs, 200) : everyMs);
  }

  function judge(skewMs: number): void {
    const now = Math.abs(skewMs) <= CLOCK_SKEW_MAX_MS;
    const before = right;
    if (now === before) return;
    right = now;
    if (now) {
      if (before === false) log.info('the clock is right again; jobs are taken');
      onRight();
    } else {
      log.error('the clock is not the database’s; no job is taken', { duration_ms: Math.round(skewMs) });
      if (before) onWrong();
    }
  }

  void look();
  return {
    isRight: () => right === true,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
