import { basename } from 'node:path';

// The demo meets an empty platform; the search for leaked secrets comes when all of them have been used.
const FIRST = 'demo.test.ts';
const LAST = 'canaries.test.ts';

interface Test {
  path: string;
}

const rank = ({ path }: Test) => (basename(path) === FIRST ? 0 : basename(path) === LAST ? 2 : 1);

/** Runs the demo first, the search for secrets last, and what is between by name. A class because Jest makes one. */
// biome-ignore lint/style/noDefaultExport: Jest takes the default export.
export default class InOrder {
  sort<T extends Test>(tests: T[]): T[] {
    return tests.toSorted((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path));
  }

  shard<T extends Test>(tests: T[]): T[] {
    return tests;
  }

  allFailedTests<T extends Test>(tests: T[]): T[] {
    return this.sort(tests);
  }

  cacheResults(): void {
    // The order never depends on how long a test took.
  }
}
