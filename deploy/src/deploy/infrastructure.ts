import { prepareFolders } from '../backup/folders.ts';
import { must } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { writeMonitoring } from '../monitoring.ts';
import { lastLines } from './colour.ts';

/** What holds state or connections: it is never recreated without being told to. */
const LASTING = ['postgres', 'redis', 'nginx'];
const ONE_SHOT = ['migrate', 'job'];
const HEALTHY_WITHIN_S = 180;

export interface Infrastructure {
  /** Services that were started. */
  started: string[];
  /** Lasting services that run otherwise than the release would have them. */
  outdated: string[];
}

/** Starts what is missing of all that has no colour; what runs is left alone, unless `recreate` names it. */
export async function startInfrastructure(
  context: Context,
  recreate: readonly string[],
  firstTime: boolean,
): Promise<Infrastructure> {
  const { compose, places, settings } = context;
  prepareFolders(places);
  // Later it waits until the release is proven: what watches the live one must know that one.
  if (firstTime) writeMonitoring(compose.options.source, places, settings);
  const wanted = await uncolouredServices(context);
  const unknown = recreate.filter((name) => !wanted.includes(name));
  if (unknown.length > 0)
    throw new Failure(EXIT.usage, `RECREATE names ${unknown.join(', ')}; it can name ${wanted.join(', ')}`);
  const running = (await compose.containers()).filter(({ state }) => state === 'running').map(({ service }) => service);
  const missing = wanted.filter((name) => !running.includes(name));
  // The state first, and healthy: the scheduler of backups, the exporters and the migrations ask for it.
  await up(context, missing.filter(isState), ['--no-recreate', ...untilHealthy]);
  for (const name of recreate) await up(context, [name], ['--force-recreate', ...untilHealthy]);
  await up(
    context,
    missing.filter((name) => !isState(name)),
    ['--no-recreate'],
  );
  return { started: missing, outdated: await outdatedServices(context, LASTING) };
}

/** Brings what has no colour and holds nothing to the release's version: exporters, monitoring, the backup scheduler. */
export async function refreshSupport(context: Context): Promise<void> {
  const supporting = (await uncolouredServices(context)).filter((name) => !LASTING.includes(name));
  await up(context, supporting, []);
}

const isState = (name: string) => name === 'postgres' || name === 'redis';
const untilHealthy = ['--wait', '--wait-timeout', String(HEALTHY_WITHIN_S)];

/** Services without a colour that this host runs, in the order of the compose file. */
export async function uncolouredServices({ compose, settings }: Context): Promise<string[]> {
  const without = (settings['DEPLOY_WITHOUT'] ?? '').split(/[\s,]+/);
  const services = (await compose.must(['config', '--services'])).split('\n').filter(Boolean);
  return services.filter((name) => !/-(blue|green)$/.test(name) && !ONE_SHOT.includes(name) && !without.includes(name));
}

async function up({ compose }: Context, services: readonly string[], options: readonly string[]): Promise<void> {
  if (services.length === 0) return;
  // An image of others that the host does not have is fetched.
  const { code, stderr } = await compose.run(['up', '-d', '--no-deps', '--no-build', ...options, ...services]);
  if (code === 0) return;
  throw new Failure(EXIT.unhealthy, `${services.join(', ')} could not be started`, [
    ...lastLines(stderr, 8),
    `Their logs: make logs S=${services[0]}`,
  ]);
}

/** Those that Compose would make anew if it were let, as it says itself. */
export async function outdatedServices({ compose }: Context, services: readonly string[]): Promise<string[]> {
  const args = ['--dry-run', 'up', '-d', '--no-deps', '--no-build', ...services];
  const { stderr } = await compose.run(args);
  const recreated = [...stderr.matchAll(/Container (\S+)\s+Recreate\s/g)].map(([, name = '']) => name);
  const differing = services.filter((name) => recreated.some((container) => container.endsWith(`-${name}-1`)));
  if (differing.length === 0) return [];
  // What was started by hand was so with its dependencies, which count: it is as it should be if Compose finds it so.
  const wanted = await compose.must(['config', '--hash', differing.join(',')]);
  const hashes = new Map(wanted.split('\n').map((line) => line.split(/\s+/) as [string, string]));
  const containers = await compose.containers(differing);
  const label = '{{index .Config.Labels "com.docker.compose.config-hash"}}';
  const found = await Promise.all(
    containers.map(async ({ service, id }) => [service, (await must('docker', ['inspect', '-f', label, id])).trim()]),
  );
  return differing.filter((name) => found.some(([service, hash]) => service === name && hash !== hashes.get(name)));
}
