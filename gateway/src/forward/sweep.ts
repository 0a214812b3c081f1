import type { Exchange } from '../exchange.ts';

const SWEEP_MS = 1_000;
/** An answer that has been running for so long is a stream, and is looked at like an open connection. */
const STREAM_AFTER_MS = 2_000;

interface Options {
  /** How long a request may wait for a connection to its upstream. */
  queueTimeoutMs: number;
  /** How long a client may read nothing of an answer that waits for it. */
  stallTimeoutMs: number;
  stillAdmitted: (exchange: Exchange) => Promise<boolean>;
}

/**
 * Looks at the requests under way once a second, instead of a timer for each: ends what waits too long for the
 * upstream or for its client, and streams whose session, key or membership is no more.
 */
export function createSweep({ queueTimeoutMs, stallTimeoutMs, stillAdmitted }: Options) {
  const running = new Set<Exchange>();

  function look(exchange: Exchange, nowMs: number): void {
    const { forwarding } = exchange;
    if (forwarding === undefined || forwarding.ended) {
      running.delete(exchange);
      return;
    }
    if (forwarding.controller === undefined) {
      if (nowMs - forwarding.startedAt > queueTimeoutMs) forwarding.giveUp();
    } else if (forwarding.pausedAt !== 0 && nowMs - forwarding.pausedAt > stallTimeoutMs) {
      exchange.res?.destroy();
    } else if (nowMs - forwarding.startedAt > STREAM_AFTER_MS && exchange.principal.kind !== 'anonymous') {
      stillAdmitted(exchange).then(
        (alive) => {
          if (!alive && !forwarding.ended) exchange.res?.destroy();
        },
        // Facts that cannot be asked for a moment do not break answers that were rightly begun.
        () => undefined,
      );
    }
  }

  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const exchange of running) look(exchange, nowMs);
  }, SWEEP_MS);
  timer.unref();

  return {
    add: (exchange: Exchange) => running.add(exchange),
    delete: (exchange: Exchange) => running.delete(exchange),
    close: () => clearInterval(timer),
  };
}
