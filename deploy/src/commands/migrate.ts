import type { Command } from '../context.ts';
import { withLock } from '../lock.ts';
import { migrateDatabase } from '../migrations/migrate-database.ts';

/** `make migrate ENV=…`: roles, database and schema as the live release wants them; `make deploy` does it by itself. */
export const command: Command = async (context, { contract, lockWaitSeconds }) => {
  const { places, report } = context;
  await withLock(places, { command: 'migrate', report }, lockWaitSeconds, async () => {
    const applied = await report.step('migrate', 'Migrate the database', () => migrateDatabase(context, { contract }));
    report.show('migrated', { applied }, [applied.length > 0 ? `${applied.length} applied` : 'nothing to apply']);
  });
};
