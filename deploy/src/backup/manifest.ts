import type { Compose } from '../compose.ts';

/** What a database held at one moment: see deploy/jobs/manifest.ts. */
export interface Manifest {
  at: string;
  bytes: number;
  tables: Record<string, { rows: number; inserted: number; deleted: number }>;
  /** `unit/name checksum` of each migration. */
  schema: string[];
  audit_head: { seq: number; hash: string } | null;
  /** Of the record that was asked for. */
  hash_at?: string | null;
  chain: { intact: boolean; records: number; problem?: string } | null;
}

export interface ManifestOptions {
  /** Recomputes the chain of the audit log. */
  verify?: boolean;
  /** Whose hash to tell: the head of an earlier manifest. */
  head?: number | undefined;
  /** A volume with the socket of another server than that of the platform. */
  socket?: string;
}

export async function readManifest(compose: Compose, options: ManifestOptions = {}): Promise<Manifest> {
  const { verify, head, socket } = options;
  const args = [...(verify ? ['--verify'] : []), ...(head === undefined ? [] : [`--head=${head}`])];
  const elsewhere = ['-v', `${socket}:/scratch:ro`, '-e', 'DATABASE_HOST=/scratch', '-e', 'DATABASE_TLS=off'];
  const text = await compose.job('deploy/jobs/manifest.ts', args, { with: socket ? elsewhere : [] });
  return JSON.parse(text) as Manifest;
}

export const totalRows = (manifest: Manifest): number =>
  Object.values(manifest.tables).reduce((sum, { rows }) => sum + rows, 0);

/**
 * What a restored database lacks or has too much, a line each. `before` and `after` frame the moment that was restored:
 * what was written between them may be there or not, and nothing else may differ.
 */
export function compareManifests(before: Manifest, after: Manifest, restored: Manifest): Differences {
  const others = [...compareSchemas(before, after, restored), ...compareLogs(before, restored)];
  return { rows: compareTables(before, after, restored), others };
}

export interface Differences {
  /** Of the numbers of rows: what is written meanwhile may be counted late. */
  rows: string[];
  /** Of the schema and the audit log: nothing excuses them. */
  others: string[];
}

function compareTables(before: Manifest, after: Manifest, restored: Manifest): string[] {
  const problems: string[] = [];
  for (const [name, was] of Object.entries(before.tables)) {
    const is = after.tables[name];
    const found = restored.tables[name];
    // Dropped meanwhile.
    if (!is) continue;
    if (!found) {
      problems.push(`${name} is missing`);
      continue;
    }
    const least = Math.max(0, was.rows - Math.max(0, is.deleted - was.deleted));
    const most = was.rows + Math.max(0, is.inserted - was.inserted);
    if (found.rows < least || found.rows > most)
      problems.push(`${name} has ${found.rows} rows, not ${least === most ? least : `${least} to ${most}`}`);
  }
  return problems;
}

function compareSchemas(before: Manifest, after: Manifest, restored: Manifest): string[] {
  const there = new Set(restored.schema);
  const allowed = new Set(after.schema);
  return [
    ...before.schema.filter((line) => !there.has(line)).map((line) => `migration ${line.split(' ')[0]} is missing`),
    ...restored.schema.filter((line) => !allowed.has(line)).map((line) => `migration ${line.split(' ')[0]} is unknown`),
  ];
}

function compareLogs(before: Manifest, restored: Manifest): string[] {
  const { audit_head: head } = before;
  if (!head) return [];
  if (!restored.chain?.intact) return [`the audit log does not hold: ${restored.chain?.problem ?? 'it is missing'}`];
  if (head.seq > 0 && restored.hash_at !== head.hash)
    return [`record ${head.seq} of the audit log is ${restored.hash_at ? 'another one' : 'missing'}`];
  return [];
}
