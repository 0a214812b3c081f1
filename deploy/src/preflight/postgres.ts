import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../command.ts';
import type { Settings } from '../context.ts';
import { error, type Finding, warning } from './findings.ts';
import { type Rendered, replicasOf } from './rendered.ts';

/** Lines of columns separated by `|`, from a running container of the database, as its superuser. */
export async function askDatabase(container: string, statement: string): Promise<string[]> {
  const psql = ['psql', '-XAtq', '-h', '/var/run/postgresql', '-U', 'postgres', '-d', 'gatehouse', '-c', statement];
  const lines = await must('docker', ['exec', container, ...psql], { timeoutMs: 15_000 });
  return lines.split('\n').filter(Boolean);
}

/** Which process's pool counts for which services; gateways and workers run twice. */
const POOLS: Record<string, RegExp> = {
  GATEWAY_POOL_MAX: /^gateway-\d+-(blue|green)$/,
  AUTH_POOL_MAX: /^auth-(blue|green)$/,
  ORG_POOL_MAX: /^org-(blue|green)$/,
  AUDIT_POOL_MAX: /^audit-(blue|green)$/,
  WORKER_POOL_MAX: /^worker-(blue|green)$/,
};
// Three that only superusers get, and jobs, the backup's, the exporter's and somebody who looks what is wrong.
const RESERVED = 13;

export interface Budget {
  pools: number;
  reserved: number;
  max: number;
}

/** Connections of both colours at once. `max` is that of the running server where there is one. */
export function connectionBudget({ services }: Rendered, settings: Settings, running?: number): Budget {
  let pools = 0;
  for (const [name, service] of Object.entries(services))
    for (const [setting, pattern] of Object.entries(POOLS))
      if (pattern.test(name)) pools += Number(settings[setting] ?? 0) * replicasOf(service);
  return { pools, reserved: RESERVED, max: running ?? configuredMaximum(services['postgres']?.command ?? []) };
}

function configuredMaximum(command: readonly string[]): number {
  const joined = command.join(' ');
  // PostgreSQL's own when nobody says otherwise.
  return Number(/max[_-]connections[= ](\d+)/.exec(joined)?.[1] ?? 100);
}

export function judgeBudget({ pools, reserved, max }: Budget): Finding[] {
  // A pool that is no number is a wrong setting, which the processes' own schemas name.
  if (Number.isNaN(pools) || pools + reserved <= max) return [];
  return [
    error(
      'connections',
      `the pools of two colours may take ${pools} connections, ${reserved} are kept free, and the database has ${max}`,
      'Lower the *_POOL_MAX, or raise max_connections of postgres (RECREATE=postgres)',
    ),
  ];
}

/** The images from 18 on keep their data one level higher: with the old mount a new container starts an empty database. */
export function judgeMount(source: string, { services }: Rendered, running: string | undefined): Finding[] {
  const stage = /^FROM postgres:(\d+)\S* AS database/m.exec(readFileSync(join(source, 'Dockerfile'), 'utf8'));
  if (!stage?.[1])
    return [error('database', 'the Dockerfile names no major of postgres', 'FROM postgres:17 AS database')];
  const major = Number(stage[1]);
  const findings: Finding[] = [];
  const right = major >= 18 ? '/var/lib/postgresql' : '/var/lib/postgresql/data';
  const mounts = (services['postgres']?.volumes ?? []).map(({ target }) => target);
  if (!mounts.includes(right))
    findings.push(
      error(
        'database',
        `postgres ${major} keeps its data in ${right}, where no volume is mounted`,
        'Mount postgres-data there',
      ),
    );
  if (running !== undefined && Number(running) !== major)
    findings.push(
      error(
        'database',
        `the data is of postgres ${running}, and this release has ${major}`,
        'A major version is no deploy: back up, and restore into the new one',
      ),
    );
  return findings;
}

/** What is asked of a running server, in one round trip. */
export async function readServer(container: string): Promise<{ major: string; max: number; reachable: true }> {
  const [line = ''] = await askDatabase(
    container,
    `select current_setting('server_version_num')::int / 10000, current_setting('max_connections')`,
  );
  const [major = '', max = ''] = line.split('|');
  return { major, max: Number(max), reachable: true };
}

export function unreachable(service: string): Finding {
  return {
    ...warning(service, `${service} is there, but is not up`, `Look why: make logs S=${service}`),
    level: 'error',
  };
}
