import { hostname, userInfo } from 'node:os';
import type { Context } from '../context.ts';
import type { Colour } from '../places.ts';

interface Release {
  revision: string;
  colour: Colour;
}

/** What the audit log is told of a command. */
export type DeployRecord =
  | { command: 'deploy'; id: string; from: Release | null; to: Release; backup: string | null }
  | { command: 'rollback'; id: string; from: Release | null; to: Release; reason: string }
  | { command: 'restore'; backup: string; at: string | null };

const TYPES = {
  deploy: 'platform.deployed.v1',
  rollback: 'platform.rolled_back.v1',
  restore: 'platform.restored.v1',
} as const;

/** Writes what was done, by which user of which host, into the audit log. */
export async function recordDeployEvent(
  { compose, environment }: Pick<Context, 'compose' | 'environment'>,
  record: DeployRecord,
): Promise<void> {
  await compose.job('deploy/jobs/record-event.ts', [
    TYPES[record.command],
    JSON.stringify(dataOf(environment, record)),
  ]);
}

function dataOf(environment: string, record: DeployRecord): Record<string, unknown> {
  const deployer = { environment, by: deployerName(), host: hostname() };
  if (record.command === 'restore') return { ...deployer, backup: record.backup, at: record.at };
  const { id, from, to } = record;
  const change = { deploy_id: id, ...deployer, from: from && releaseOf(from), to: releaseOf(to) };
  return record.command === 'deploy' ? { ...change, backup: record.backup } : { ...change, reason: record.reason };
}

const releaseOf = ({ revision, colour }: Release): Release => ({ revision, colour });

/** Who typed the command, also behind sudo. */
function deployerName(): string {
  return process.env['SUDO_USER'] ?? userInfo().username;
}
