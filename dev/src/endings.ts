/** How to end what was started, last first. */
export interface Endings {
  add(end: () => Promise<unknown>): void;
  /** Ends everything, also what comes after an end that failed; throws the first failure. */
  run(): Promise<void>;
}

export function createEndings(): Endings {
  const stack: (() => Promise<unknown>)[] = [];
  return {
    add: (end) => void stack.push(end),
    async run() {
      const failures: unknown[] = [];
      for (let end = stack.pop(); end; end = stack.pop()) await end().catch((error: unknown) => failures.push(error));
      if (failures.length > 0) throw failures[0];
    },
  };
}
