import { FACTS_ASKED_MAX } from '@gatehouse/contracts/facts';

const UNDER_WAY_MAX = 4;
/** How long what is asked meanwhile waits for the batch under way, so that a slow one does not hold up the rest. */
const HELD_MS = 20;
/** How long a question may take from when it was asked, its turn included; half of that is left for the owner. */
export const ANSWER_MS = 2_000;
const TURN_MS = ANSWER_MS / 2;
/** How long an owner of an older release, which knows no batches, is asked one by one. */
const SINGLY_MS = 10_000;

/** What the owner says to one question of a batch. */
export type Outcome<A> = { value: A } | { error: Error };

interface Options<Q, A> {
  /** The outcomes in the order of the questions; undefined when the owner takes no batches. */
  askAll(questions: Q[], timeoutMs: number): Promise<Outcome<A>[] | undefined>;
  askOne(question: Q): Promise<A>;
  /** Whether it may share a batch: one that the owner refuses would spoil it for all the others. */
  fits(question: Q): boolean;
  /** Milliseconds that only go forward. */
  now: () => number;
  /** How much longer than usual a question may wait for its turn. */
  patienceMs?: () => number;
}

interface Waiting<Q, A> {
  question: Q;
  askedAt: number;
  resolve(value: A): void;
  reject(error: unknown): void;
}

/**
 * Asks an owner for many facts at once: all that are wanted in one turn of the event loop, and then all that came up
 * while it answered. With thousands of members, a request for each would cost the gateway, the owner and the database
 * more than everything else. A batch that fails fails for everyone in it.
 */
export function createBatches<Q, A>({ askAll, askOne, fits, now, patienceMs = () => 0 }: Options<Q, A>) {
  const waiting: Waiting<Q, A>[] = [];
  let underWay = 0;
  let singlyUntil = Number.NEGATIVE_INFINITY;
  let soon = false;
  let timed = false;

  async function send(batch: Waiting<Q, A>[], timeoutMs: number): Promise<void> {
    underWay += 1;
    try {
      const outcomes = await askAll(
        batch.map(({ question }) => question),
        timeoutMs,
      );
      if (outcomes) return settle(batch, outcomes);
      singlyUntil = now() + SINGLY_MS;
      askSingly(batch);
    } catch (error) {
      for (const one of batch) one.reject(error);
    } finally {
      underWay -= 1;
      proceed();
    }
  }

  function sendNext(): void {
    const at = now();
    const turnMs = TURN_MS + patienceMs();
    const batch: Waiting<Q, A>[] = [];
    for (const one of waiting.splice(0, FACTS_ASKED_MAX)) {
      if (at - one.askedAt < turnMs) batch.push(one);
      else one.reject(new Error('the owner of a fact answers too slowly'));
    }
    // The first has waited longest.
    if (batch[0]) void send(batch, Math.max(TURN_MS, Math.ceil(ANSWER_MS - (at - batch[0].askedAt))));
  }

  function proceed(): void {
    if (now() < singlyUntil) askSingly(waiting.splice(0));
    while (waiting.length > 0 && underWay < UNDER_WAY_MAX && (underWay === 0 || waiting.length >= FACTS_ASKED_MAX))
      sendNext();
    if (waiting.length === 0 || timed) return;
    timed = true;
    setTimeout(release, HELD_MS).unref();
  }

  function release(): void {
    timed = false;
    const [first] = waiting;
    if (first && now() - first.askedAt >= HELD_MS && underWay < UNDER_WAY_MAX) sendNext();
    proceed();
  }

  function askSingly(batch: Waiting<Q, A>[]): void {
    for (const { question, resolve, reject } of batch) askOne(question).then(resolve, reject);
  }

  return (question: Q): Promise<A> => {
    if (now() < singlyUntil || !fits(question)) return askOne(question);
    return new Promise((resolve, reject) => {
      waiting.push({ question, askedAt: now(), resolve, reject });
      if (soon) return;
      soon = true;
      setImmediate(() => {
        soon = false;
        proceed();
      });
    });
  };
}

function settle<Q, A>(batch: Waiting<Q, A>[], outcomes: Outcome<A>[]): void {
  batch.forEach(({ resolve, reject }, i) => {
    const outcome = outcomes[i] ?? { error: new Error('the owner left a question unanswered') };
    if ('value' in outcome) resolve(outcome.value);
    else reject(outcome.error);
  });
}
