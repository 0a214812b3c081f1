import { run } from '../command.ts';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { COLOURED, type Colour, servicesOf } from '../places.ts';
import { renderCompose, replicasOf } from '../preflight/rendered.ts';
import { containersOf, lastLines } from './colour.ts';
import { upstreamText, workersGone } from './edge.ts';
import { awaitReady } from './gate.ts';
import { gatewayAddresses, replaceEdge } from './switch.ts';

/** The services that S names: one of them, `gateway` for both gateways, or all. */
export function servicesToRestart(name: string): string[] {
  const found = COLOURED.filter((service) => name === '' || service === name || service.startsWith(`${name}-`));
  if (found.length > 0) return [...found];
  throw new Failure(EXIT.usage, `S is ${name}; it can be ${[...COLOURED, 'gateway'].join(', ')}`);
}

/** Restarts every process of a service of the live colour, one by one, without a failed request. */
export async function restartService(context: Context, colour: Colour, name: string): Promise<void> {
  const service = `${name}-${colour}`;
  const before = await containersOf(context, colour);
  const instances = before.filter((container) => container.service === service);
  if (name.startsWith('gateway-')) return restartGateway(context, colour, instances, before);
  for (const old of instances) {
    await scale(context, service, instances.length + 1);
    try {
      await awaitReady(context, colour, before);
    } catch (error) {
      await removeSince(context, service, before);
      throw error;
    }
    // It says it is not ready, serves for five seconds more, and ends its connections; who asks by name finds the other.
    await remove(old);
    before.push(...(await context.compose.containers([service])));
  }
}

/** Users are served as before: who asks for the service by name must not find the one that does not answer. */
async function removeSince({ compose }: Context, service: string, before: readonly Container[]): Promise<void> {
  for (const container of await compose.containers([service]))
    if (!before.some(({ id }) => id === container.id)) await remove(container);
}

async function remove({ id }: Container): Promise<void> {
  await run('docker', ['stop', id]);
  await run('docker', ['rm', '-v', id]);
}

/** Of a restart that was killed, one more process of a service is left, or one that has ended beside its successor. */
export async function completeRestart(context: Context, colour: Colour): Promise<void> {
  const { services } = await renderCompose(context.compose);
  const containers = await containersOf(context, colour);
  for (const name of servicesOf(colour)) {
    const its = containers.filter(({ service }) => service === name);
    for (const container of surplusOf(its, replicasOf(services[name] ?? {}))) await remove(container);
  }
}

/** Which of a service's containers are too many: first those that have ended, then the unwell, then the oldest. */
export function surplusOf(containers: readonly Container[], wanted: number): Container[] {
  const rank = ({ state, health }: Container) => (state !== 'running' ? 0 : health === 'healthy' ? 2 : 1);
  return containers
    .toSorted((a, b) => rank(a) - rank(b) || a.startedAt.getTime() - b.startedAt.getTime())
    .slice(0, Math.max(0, containers.length - wanted));
}

async function scale({ compose }: Context, service: string, instances: number): Promise<void> {
  const options = ['--no-deps', '--no-build', '--no-recreate', '--pull', 'never'];
  const args = ['--profile', 'green', 'up', '-d', ...options, '--scale', `${service}=${instances}`, service];
  const { code, stderr } = await compose.run(args);
  if (code !== 0) throw new Failure(EXIT.unhealthy, `${service} could not be started again`, lastLines(stderr, 5));
}

/** nginx sends nothing to it while it restarts: a request that has begun there is not sent twice. */
async function restartGateway(
  context: Context,
  colour: Colour,
  gateways: readonly Container[],
  before: readonly Container[],
): Promise<void> {
  const all = gatewayAddresses(context.settings, colour);
  for (const { id, addresses } of gateways) {
    const others = all.filter((address) => !address.startsWith(`${addresses['edge']}:`));
    const { nginx, oldWorkers } = await replaceEdge(context, { 'upstream.conf': upstreamText(others) });
    await workersGone(nginx, oldWorkers);
    await run('docker', ['restart', id]);
    await awaitReady(context, colour, before);
    await replaceEdge(context, { 'upstream.conf': upstreamText(all) });
  }
}
