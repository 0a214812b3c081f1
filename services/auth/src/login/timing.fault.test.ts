import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

const PAIRS = 100;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ LOGIN_BUDGET: 10_000, LOGIN_NETWORK_BUDGET: 100_000, BCRYPT_COST: 9 });
});
afterAll(() => auth.close());

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Two-sided p of the Mann-Whitney rank test, by its normal approximation. */
function rankTest(a: number[], b: number[]): number {
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

async function measure(known: string[], unknown: string[]) {
  const timed = async (email: string) => {
    const start = performance.now();
    await auth.anonymous.post('/api/auth/login', { email, password: 'a wrong password indeed' });
    return performance.now() - start;
  };
  const times: { known: number[]; unknown: number[] } = { known: [], unknown: [] };
  for (let n = 0; n < PAIRS; n++) {
    // Whoever comes first in a pair must not gain by it.
    const order = n % 2 === 0 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const);
    for (const which of order)
      times[which].push(await timed((which === 'known' ? known : unknown)[n % known.length] as string));
  }
  return times;
}

test('S002 two hundred interleaved sign-ins of known and unknown addresses take the same time', async () => {
  const disabled = await auth.user({ status: 'disabled' });
  const passwordless = await auth.user({ hash: null });
  const deleted = await auth.user({ status: 'deleted' });
  const users = await Promise.all(Array.from({ length: 7 }, () => auth.user()));
  const known = [disabled, passwordless, deleted, ...users].map(({ email }) => email);
  const unknown = known.map((_, n) => `nobody-of-that-name-${n}-${'x'.repeat(20)}@users.test`);
  await measure(known.slice(0, 2), unknown.slice(0, 2));
  expect((await auth.anonymous.post('/api/auth/login', { email: users[0]?.email, password: PASSWORD })).status).toBe(
    200,
  );

  // A loaded machine may spoil one run, not three: what can be told apart can be told apart in each.
  const verdicts: boolean[] = [];
  while (verdicts.length < 3 && !verdicts.includes(true)) {
    const times = await measure(known, unknown);
    const ratio = median(times.known) / median(times.unknown);
    verdicts.push(Math.abs(ratio - 1) < 0.05 && rankTest(times.known, times.unknown) > 0.01);
  }
  expect(verdicts).toContain(true);
}, 120_000);
