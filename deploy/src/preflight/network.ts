import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { error, type Finding } from './findings.ts';

export interface Subnet {
  network: string;
  project: string;
  cidr: string;
}

export async function listSubnets(): Promise<Subnet[]> {
  const ids = (await must('docker', ['network', 'ls', '-q'])).split('\n').filter(Boolean);
  if (ids.length === 0) return [];
  const { stdout } = await run('docker', ['network', 'inspect', ...ids]);
  return (JSON.parse(stdout || '[]') as Inspected[]).flatMap(({ Name, Labels, IPAM }) =>
    (IPAM?.Config ?? []).map(({ Subnet: cidr }) => {
      return { network: Name, project: Labels?.['com.docker.compose.project'] ?? '', cidr };
    }),
  );
}

interface Inspected {
  Name: string;
  Labels?: Record<string, string>;
  IPAM?: { Config?: { Subnet: string }[] | null };
}

export function judgeSubnet({ project, settings }: Pick<Context, 'project' | 'settings'>, subnets: readonly Subnet[]) {
  const cidr = `${settings['EDGE_PREFIX']}.0/24`;
  if (!range(cidr)) return [error('network', `EDGE_PREFIX=${settings['EDGE_PREFIX']} is no prefix`, 'Like 10.80.0')];
  const own = subnets.find(({ project: its, network }) => its === project && network === `${project}_edge`);
  // Compose would either refuse to start the gateways, or stop all that is on the network to make it anew.
  if (own && own.cidr !== cidr)
    return [
      error(
        'network',
        `EDGE_PREFIX=${settings['EDGE_PREFIX']} is ${cidr}, and the network ${own.network} of this environment is ${own.cidr}`,
        `Keep EDGE_PREFIX=${own.cidr.replace(/\.0\/24$/, '')}, or with a pause for users: docker compose -p ${project} down, then deploy with FORCE=reason`,
      ),
    ];
  return subnets
    .filter((other) => !(other.project === project && other.network === `${project}_edge`))
    .filter((other) => overlap(cidr, other.cidr))
    .map(
      ({ network, cidr: theirs }): Finding =>
        error('network', `${cidr} overlaps with the network ${network} (${theirs})`, 'Set another EDGE_PREFIX'),
    );
}

export function overlap(one: string, other: string): boolean {
  const [a, b] = [range(one), range(other)];
  return a !== undefined && b !== undefined && a[0] <= b[1] && b[0] <= a[1];
}

/** First and last address as numbers; undefined for what is no IPv4 network. */
function range(cidr: string): [number, number] | undefined {
  const [, ...parts] = (/^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr) ?? []).map(Number);
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = parts;
  if (parts.length !== 5 || bits > 32 || [a, b, c, d].some((part) => part > 255)) return undefined;
  const size = 2 ** (32 - bits);
  const first = Math.floor((((a * 256 + b) * 256 + c) * 256 + d) / size) * size;
  return [first, first + size - 1];
}
