import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { schemaJob } from '../migrations/migrate-database.ts';

interface Verification {
  compared: number;
  differences: string[];
}

/** `make schema-verify`: every table and column against what the migrations make; exits 1 on a difference. */
export const command: Command = async (context) => {
  const { report } = context;
  const found = await report.step('schema', 'Compare the schema with one that was just migrated', () =>
    schemaJob<Verification>(context, 'deploy/jobs/schema.ts', ['verify']),
  );
  if (found.differences.length === 0)
    return report.show('schema', found, [`${found.compared} tables, columns and the like: no difference`]);
  throw new Failure(EXIT.bug, `The schema differs in ${found.differences.length} places`, found.differences);
};
