import { setTimeout as delay } from 'node:timers/promises';
import type { Answer } from '../client.ts';

export type Fate = 'acknowledged' | 'refused' | 'unknown';

/** What a client wrote down of an operation: what it was promised, and nothing else. */
export interface Entry {
  id: string;
  fate: Fate;
  status: number;
  at: number;
}

export interface Ledger {
  entries: Entry[];
  of(fate: Fate): string[];
  /** Sends, and writes down what came back under the name that the operation can be found by afterwards. */
  record(id: string, send: () => Promise<Answer<unknown>>): Promise<Entry>;
}

// The request may have been carried out although its answer was lost.
const LOST = new Set([500, 502, 504]);

export function openLedger(): Ledger {
  const entries: Entry[] = [];
  return {
    entries,
    of: (fate) => entries.filter((entry) => entry.fate === fate).map(({ id }) => id),
    async record(id, send) {
      const status = await send().then(
        (answer) => answer.status,
        () => 0,
      );
      const fate =
        status >= 200 && status < 300 ? 'acknowledged' : status === 0 || LOST.has(status) ? 'unknown' : 'refused';
      const entry: Entry = { id, fate, status, at: performance.now() };
      entries.push(entry);
      return entry;
    },
  };
}

export interface Load {
  /** Ends the load and waits for what is under way. */
  stop(): Promise<void>;
}

/** Runs `work` in so many lines at once, with a pause between, until it is stopped. */
export function startLoad(
  lines: number,
  pauseMs: number,
  work: (line: number, round: number) => Promise<unknown>,
): Load {
  let stopped = false;
  const running = Array.from({ length: lines }, async (_, line) => {
    for (let round = 0; !stopped; round++) {
      await work(line, round);
      await delay(pauseMs);
    }
  });
  return {
    async stop() {
      stopped = true;
      await Promise.all(running);
    },
  };
}

/** Ids that are in one list and not in the other. */
export function missingFrom(list: Iterable<string>, wanted: Iterable<string>): string[] {
  const present = new Set(list);
  return [...wanted].filter((id) => !present.has(id));
}

/** Ids that a list holds more than once. */
export function doubled(list: readonly string[]): string[] {
  return list.filter((id, index) => list.indexOf(id) !== index);
}
