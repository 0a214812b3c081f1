import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Who has migrations, in the order in which they run: a unit may use what those before it made. */
export const MIGRATION_UNITS = [
  { unit: 'platform', dir: 'packages/kit/migrations', schemas: ['app', 'events'] },
  { unit: 'org', dir: 'services/org/migrations', schemas: ['org'] },
  { unit: 'auth', dir: 'services/auth/migrations', schemas: ['auth'] },
  { unit: 'audit', dir: 'services/audit/migrations', schemas: ['audit'] },
  { unit: 'worker', dir: 'services/worker/migrations', schemas: ['worker'] },
] as const satisfies readonly MigrationUnit[];

export interface MigrationUnit {
  unit: string;
  /** Its folder, from the root of the repository. */
  dir: string;
  schemas: readonly string[];
}

/** `expand` is harmless to the release before it, so that this one may be rolled back over it; `contract` is not. */
export type MigrationKind = 'expand' | 'contract';

export interface Migration {
  version: number;
  name: string;
  /** SHA-256 of the file, hexadecimal. */
  checksum: string;
  kind: MigrationKind;
  /** False where the file says `-- no-transaction`. */
  transactional: boolean;
  text: string;
}

/** What is wrong between the migrations of this release and the schema of the database. */
export class SchemaError extends Error {}

const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/;

/** The migrations in a folder, in their order. Throws SchemaError on a name that fits no order. */
export function readMigrations(dir: string): Migration[] {
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir)
    .filter((name) => name.endsWith('.sql'))
    .sort();
  const migrations = names.map((name) => read(dir, name));
  for (const [index, { version, name }] of migrations.entries())
    if (migrations[index - 1]?.version === version)
      throw new SchemaError(`${dir}: ${migrations[index - 1]?.name} and ${name} have the same number`);
  return migrations;
}

function read(dir: string, name: string): Migration {
  const version = Number(FILE.exec(name)?.[1]);
  if (!version) throw new SchemaError(`${join(dir, name)}: a migration is named like 0001_some_words.sql`);
  const text = readFileSync(join(dir, name), 'utf8');
  const header = /^(?:--.*\n)*/.exec(text)?.[0].split('\n') ?? [];
  return {
    version,
    name,
    checksum: createHash('sha256').update(text).digest('hex'),
    kind: header.includes('-- expand') ? 'expand' : 'contract',
    transactional: !header.includes('-- no-transaction'),
    text,
  };
}

// Each of these may run again after it was interrupted, and none of them makes readers or writers wait.
const REPEATABLE =
  /^(create\s+(unique\s+)?index\s+concurrently\s+if\s+not\s+exists|drop\s+index\s+concurrently\s+if\s+exists|alter\s+table\s+\S+\s+validate\s+constraint|analyze)\s/i;

/** The statements of a file that runs outside a transaction. Throws SchemaError on one that could not be repeated. */
export function statementsOf({ name, text }: Migration): string[] {
  const statements = text
    .replace(/^\s*--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter(Boolean);
  for (const statement of statements)
    if (!REPEATABLE.test(`${statement} `))
      throw new SchemaError(
        `${name}: outside a transaction only "create index concurrently if not exists", "drop index concurrently if exists", ` +
          `"alter table … validate constraint" and "analyze" may stand, not: ${statement.slice(0, 80)}`,
      );
  return statements;
}
