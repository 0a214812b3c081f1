export const median = (numbers: number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Two-sided p of the Mann-Whitney rank test, by its normal approximation. */
export function rankTest(a: number[], b: number[]): number {
  const ranked = [...a.map((value) => ({ value, ofA: true })), ...b.map((value) => ({ value, ofA: false }))];
  ranked.sort((one, other) => one.value - other.value);
  const rankSum = ranked.reduce((sum, { ofA }, index) => sum + (ofA ? index + 1 : 0), 0);
  const u = rankSum - (a.length * (a.length + 1)) / 2;
  const mean = (a.length * b.length) / 2;
  const deviation = Math.sqrt((a.length * b.length * (a.length + b.length + 1)) / 12);
  const z = Math.abs(u - mean) / deviation;
  // Abramowitz and Stegun, 26.2.17.
  const t = 1 / (1 + 0.2316419 * z);
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (2 * Math.exp((-z * z) / 2) * poly) / Math.sqrt(2 * Math.PI);
}

/** Milliseconds of two kinds of requests, sent in pairs one after another; each comes first in every other pair. */
export async function timePairs(
  pairs: number,
  kinds: { known: (n: number) => Promise<unknown>; unknown: (n: number) => Promise<unknown> },
): Promise<{ known: number[]; unknown: number[] }> {
  const times: { known: number[]; unknown: number[] } = { known: [], unknown: [] };
  for (let n = 0; n < pairs; n++) {
    const order = n % 2 === 0 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const);
    for (const which of order) {
      const start = performance.now();
      await kinds[which](n);
      times[which].push(performance.now() - start);
    }
  }
  return times;
}

/** Whether the two kinds cannot be told apart: medians within 5 %, and ranks as chance would have them. */
export function isAlike({ known, unknown }: { known: number[]; unknown: number[] }): boolean {
  return Math.abs(median(known) / median(unknown) - 1) < 0.05 && rankTest(known, unknown) > 0.01;
}
