import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { error, type Finding } from './findings.ts';
import { askDatabase } from './postgres.ts';

// As in packages/kit/src/migration-files.ts, which decides; a test compares the two.
const UNITS: Record<string, string> = {
  platform: 'packages/kit/migrations',
  org: 'services/org/migrations',
  auth: 'services/auth/migrations',
  audit: 'services/audit/migrations',
  worker: 'services/worker/migrations',
};

export interface MigrationFile {
  unit: string;
  version: number;
  name: string;
  kind: 'expand' | 'contract';
}

/** The migrations of a source, in the order in which they would run. */
export function migrationsIn(source: string): MigrationFile[] {
  return Object.entries(UNITS).flatMap(([unit, dir]) => {
    const folder = join(source, dir);
    const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.sql')) : [];
    return names.sort().map((name) => {
      const header = /^(?:--.*\n)*/.exec(readFileSync(join(folder, name), 'utf8'))?.[0].split('\n') ?? [];
      return {
        unit,
        name,
        version: Number.parseInt(name, 10),
        kind: header.includes('-- expand') ? 'expand' : 'contract',
      };
    });
  });
}

/** `unit/version` of what a running database has; nothing of an empty one. */
export async function appliedMigrations(container: string): Promise<Set<string>> {
  const [there] = await askDatabase(container, `select to_regclass('migrations.applied') is not null`);
  if (there !== 't') return new Set();
  return new Set(await askDatabase(container, `select a.unit || '/' || a.version from migrations.applied a`));
}

export function pendingIn(files: readonly MigrationFile[], applied: ReadonlySet<string>): MigrationFile[] {
  return files.filter(({ unit, version }) => !applied.has(`${unit}/${version}`));
}

/** On an empty database there is no release before this one that a contraction could break. */
export function judgeMigrations(pending: readonly MigrationFile[], isEmpty: boolean, contract: boolean): Finding[] {
  const contracting = pending.filter(({ kind }) => kind === 'contract');
  if (isEmpty || contract || contracting.length === 0) return [];
  const names = contracting.map(({ unit, name }) => `${unit}/${name}`).join(', ');
  return [
    error(
      'migrations',
      `${names} takes away what the release that is live may use, which could not be rolled back to`,
      'When no code uses it since the release before: CONTRACT=1',
    ),
  ];
}
