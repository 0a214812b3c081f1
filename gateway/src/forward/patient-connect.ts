import type { LookupFunction } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { buildConnector } from 'undici';

/** For how long a service that cannot be reached is tried again: what its restart takes on a busy machine. */
export const PATIENCE_MS = 5_000;
const FIRST_PAUSE_MS = 25;
const PAUSE_MAX_MS = 250;
// Longer than a connect takes even where processors are short, short enough to try again.
const ATTEMPT_MS = 2_000;
// An attempt that is not through by then gets company, with the name looked up anew: the address may be that of a
// container which is gone, and nobody there refuses (RFC 8305, section 5, "Connection Attempt Delay").
const COMPANY_AFTER_MS = 250;
const ATTEMPTS_AT_ONCE = 3;
/** After so long without a failure the next one is the first of another outage. */
const FORGET_MS = 10_000;

// Each says that no connection came to be, so that nothing was sent and nothing can happen twice.
const UNREACHED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

interface Options {
  /** For one attempt. */
  timeoutMs?: number;
  /** How names become addresses; the system's way unless given. */
  lookup?: LookupFunction;
}

export interface PatientConnector {
  connect: buildConnector.connector;
  /** Whether the service could not be reached just now, and whoever waits for it should wait a little longer. */
  troubled(): boolean;
}

/**
 * Connects to one of our services, and tries again while it restarts. The name is looked up anew each time, and of
 * several addresses each is tried. All connections share one outage: a service that stays away costs each of its
 * requests nothing more once it has been waited for.
 */
export function createPatientConnector({ timeoutMs = ATTEMPT_MS, lookup }: Options = {}): PatientConnector {
  const connectOnce = buildConnector({
    allowH2: false,
    timeout: Math.min(timeoutMs, ATTEMPT_MS),
    ...(lookup && { lookup }),
  });
  let awaySince: number | undefined;
  let failedAt = Number.NEGATIVE_INFINITY;

  function mayTryAgain(): boolean {
    const nowMs = performance.now();
    if (awaySince === undefined || nowMs - failedAt > FORGET_MS) awaySince = nowMs;
    failedAt = nowMs;
    return nowMs - awaySince < PATIENCE_MS;
  }

  /** The first of up to three attempts that is through; the error of the last when none is. */
  function race(options: buildConnector.Options, callback: buildConnector.Callback): void {
    let begun = 0;
    let failed = 0;
    let settled = false;
    const settle: buildConnector.Callback = (...outcome) => {
      settled = true;
      clearInterval(company);
      callback(...outcome);
    };
    const begin = () => {
      begun += 1;
      if (begun === ATTEMPTS_AT_ONCE) clearInterval(company);
      connectOnce(options, (...[error, socket]) => {
        if (error === null) {
          if (settled) socket.destroy();
          else settle(null, socket);
          return;
        }
        failed += 1;
        if (!settled && failed === begun) settle(error, null);
      });
    };
    const company = setInterval(begin, COMPANY_AFTER_MS);
    begin();
  }

  function attempt(options: buildConnector.Options, callback: buildConnector.Callback, pauseMs: number): void {
    race(options, (...[error, socket]) => {
      if (error === null) {
        awaySince = undefined;
        return callback(null, socket);
      }
      if (!UNREACHED.has((error as NodeJS.ErrnoException).code ?? '') || !mayTryAgain()) return callback(error, null);
      // Not all at the same moment, when many connections wait.
      const jitteredMs = pauseMs * (0.5 + Math.random());
      void delay(jitteredMs).then(() => attempt(options, callback, Math.min(pauseMs * 2, PAUSE_MAX_MS)));
    });
  }

  return {
    connect: (options, callback) => attempt(options, callback, FIRST_PAUSE_MS),
    troubled: () => performance.now() - failedAt < PATIENCE_MS,
  };
}
