const CONSECUTIVE_FAILURES = 5;
const WINDOW_MS = 10_000;
const WINDOW_MIN_REQUESTS = 20;
const WINDOW_FAILURE_SHARE = 0.5;
const OPEN_MS = 1_000;
const OPEN_MAX_MS = 30_000;

export interface Circuit {
  /** Whether a request may be tried now. Half open, one probe at a time may. */
  allows(nowMs: number): boolean;
  succeeded(nowMs: number): void;
  failed(nowMs: number): void;
  /** A request that was allowed ended without telling anything of the upstream, because its client left. */
  abandoned(): void;
  retryAfterSeconds(nowMs: number): number;
  readonly open: boolean;
}

/**
 * Keeps requests from an upstream that does not answer: opens after five failures in a row, or when half of at least
 * twenty requests in ten seconds fail. Failure is what the transport says, never a status: a bug behind one path must
 * not take the whole upstream away. Open time doubles from one second to thirty while the probe fails.
 */
export function createCircuit(): Circuit {
  let consecutive = 0;
  let windowStart = 0;
  let requests = 0;
  let failures = 0;
  let openUntil = 0;
  let openMs = OPEN_MS;
  let open = false;
  let probing = false;

  function count(nowMs: number, failure: boolean): void {
    if (nowMs - windowStart > WINDOW_MS) {
      windowStart = nowMs;
      requests = 0;
      failures = 0;
    }
    requests += 1;
    if (failure) failures += 1;
  }

  function trip(nowMs: number): void {
    openMs = open ? Math.min(openMs * 2, OPEN_MAX_MS) : OPEN_MS;
    open = true;
    probing = false;
    openUntil = nowMs + openMs;
  }

  return {
    get open() {
      return open;
    },
    allows(nowMs) {
      if (!open) return true;
      if (nowMs < openUntil) return false;
      // The next probe comes in its turn even when nobody ever tells how this one ended.
      probing = true;
      openUntil = nowMs + openMs;
      return true;
    },
    succeeded(nowMs) {
      consecutive = 0;
      if (open) {
        open = false;
        probing = false;
        windowStart = 0;
      }
      count(nowMs, false);
    },
    failed(nowMs) {
      consecutive += 1;
      count(nowMs, true);
      if (open) {
        // Requests that were under way when it opened fail late; only the probe's failure opens it again.
        if (probing) trip(nowMs);
      } else if (
        consecutive >= CONSECUTIVE_FAILURES ||
        (requests >= WINDOW_MIN_REQUESTS && failures >= requests * WINDOW_FAILURE_SHARE)
      )
        trip(nowMs);
    },
    abandoned() {
      probing = false;
    },
    retryAfterSeconds: (nowMs) => Math.max(1, Math.ceil((openUntil - nowMs) / 1000)),
  };
}
