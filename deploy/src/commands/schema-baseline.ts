import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { withLock } from '../lock.ts';
import { schemaJob } from '../migrations/migrate-database.ts';

interface Baseline {
  recorded: string[];
  differences: string[];
}

/** `make schema-baseline [DRY_RUN=1]`: for a database that has the tables already, and no record of migrations. */
export const command: Command = async (context, { dryRun, lockWaitSeconds }) => {
  const { places, report } = context;
  await withLock(places, { command: 'schema-baseline', report }, lockWaitSeconds, async () => {
    const args = ['baseline', ...(dryRun ? ['--dry-run'] : [])];
    const { recorded, differences } = await schemaJob<Baseline>(context, 'deploy/jobs/schema.ts', args);
    if (differences.length > 0)
      throw new Failure(
        EXIT.migrate,
        'The database is not what the migrations make; nothing was recorded',
        differences,
      );
    const said = dryRun ? 'would be recorded as applied' : 'recorded as applied';
    report.show('baseline', { recorded, dry_run: dryRun }, [`${recorded.length} ${said}:`, ...recorded]);
  });
};
