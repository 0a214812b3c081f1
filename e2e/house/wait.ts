import { setTimeout as delay } from 'node:timers/promises';

/** Asks again until the answer is wanted; throws with the last answer when `ms` milliseconds did not bring it. */
export async function until<T>(what: string, ms: number, ask: () => Promise<T> | T, wanted: (answer: T) => boolean) {
  const deadline = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms, last: ${shown(answer)}`);
    await delay(25);
  }
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 500);
}
