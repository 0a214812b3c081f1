import type { Command } from '../context.ts';
import { migrationsStatus } from '../migrations/migrate-database.ts';

/** `make migrate-status ENV=…`. */
export const command: Command = async (context) => {
  const status = await migrationsStatus(context);
  const lines = status.migrations.map(
    ({ state, unit, name, kind, applied_at }) =>
      `${state.padEnd(8)} ${`${unit}/${name}`.padEnd(40)} ${kind.padEnd(9)} ${applied_at ?? ''}`,
  );
  context.report.show('migrations', status, lines);
};
