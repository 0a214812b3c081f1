import { z } from 'zod';

/** What the global setup of a test run leaves for its test files, in the environment. */
const Run = z.object({
  postgres: z.object({ host: z.string(), port: z.number(), user: z.string(), password: z.string() }),
  redis: z.object({ url: z.string() }),
});
export type Run = z.infer<typeof Run>;

const VARIABLE = 'GATEHOUSE_TEST_RUN';

export function publishRun(run: Run): void {
  process.env[VARIABLE] = JSON.stringify(run);
}

/** The servers of this test run. */
export function currentRun(): Run {
  const text = process.env[VARIABLE];
  if (!text) throw new Error('no servers for tests: run the tests with jest, whose global setup starts them');
  return Run.parse(JSON.parse(text));
}
