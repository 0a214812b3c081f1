import type { Exchange } from '../exchange.ts';

const SWEEP_MS = 1_000;
/** An answer that has been running for so long is a stream, and is looked at like an open connection. */
const STREAM_AFTER_MS = 2_000;

interface Options {
  /** How long a client may read nothing of an answer that waits for it. */
  stallTimeoutMs: number;
  stillAdmitted: (exchange: Exchange) => Promise<boolean>;
}

/**
 * Looks at the requests under way once a second, instead of a timer for each: ends what waits too long for the
 * upstream or for its client, and streams whose session, key or membership is no more.
 */
export function createSweep({ stallTimeoutMs, stillAdmitted }: Options) {
  // An array in which each exchange knows its place. A Set that lives long leaves a chain of outgrown tables behind,
  // each of which keeps requests that are long over from being collected: measured, a fifth of the gateway's time.
  const running: Exchange[] = [];

  function add(exchange: Exchange): void {
    exchange.place = running.push(exchange) - 1;
  }

  function remove(exchange: Exchange): void {
    if (exchange.place === -1) return;
    const last = running.pop() as Exchange;
    if (last !== exchange) {
      running[exchange.place] = last;
      last.place = exchange.place;
    }
    exchange.place = -1;
  }

  function look(exchange: Exchange, nowMs: number): void {
    const { forwarding } = exchange;
    if (forwarding === undefined || forwarding.ended) return;
    if (forwarding.controller === undefined) {
      if (nowMs - forwarding.startedAt > forwarding.target.queueTimeoutMs) forwarding.giveUp();
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
    for (const exchange of [...running]) look(exchange, nowMs);
  }, SWEEP_MS);
  timer.unref();

  return {
    add,
    remove,
    close: () => clearInterval(timer),
  };
}
