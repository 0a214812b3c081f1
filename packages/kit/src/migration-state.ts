import { type Migration, type MigrationKind, SchemaError } from './migration-files.ts';

export interface AppliedMigration {
  version: number;
  name: string;
  checksum: string;
  kind: MigrationKind;
}

/** The migrations that are still to be applied. Throws SchemaError where files and records contradict each other. */
export function pendingMigrations(unit: string, known: Migration[], applied: AppliedMigration[]): Migration[] {
  const files = new Map(known.map((migration) => [migration.version, migration]));
  const newest = known.at(-1)?.version ?? 0;
  for (const record of applied) {
    const file = files.get(record.version);
    if (file && file.checksum !== record.checksum)
      throw new SchemaError(
        `${unit}/${file.name} was changed after it was applied; restore it and write a new migration instead`,
      );
    // A release that was rolled back leaves its expansions behind: this one works beside them.
    if (!file && !(record.version > newest && record.kind === 'expand'))
      throw new SchemaError(
        `the schema is newer than this release: ${unit}/${record.name} is applied but unknown here`,
      );
  }
  const last = applied.at(-1)?.version ?? 0;
  const done = new Set(applied.map((record) => record.version));
  const pending = known.filter((migration) => !done.has(migration.version));
  for (const { version, name } of pending)
    if (version < last)
      throw new SchemaError(
        `${unit}/${name} has a lower number than one already applied (${last}); give it the next one`,
      );
  return pending;
}
