import { run } from '../command.ts';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { COLOURED, type Colour } from '../places.ts';
import { lastLines } from './colour.ts';
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
  const instances = await context.compose.containers([service]);
  if (name.startsWith('gateway-')) return restartGateway(context, colour, instances);
  for (const old of instances) {
    await scale(context, service, instances.length + 1);
    await awaitReady(context, colour);
    // It says it is not ready, serves for five seconds more, and ends its connections; who asks by name finds the other.
    await run('docker', ['stop', old.id]);
    await run('docker', ['rm', '-v', old.id]);
  }
}

async function scale({ compose }: Context, service: string, instances: number): Promise<void> {
  const options = ['--no-deps', '--no-build', '--no-recreate', '--pull', 'never'];
  const args = ['--profile', 'green', 'up', '-d', ...options, '--scale', `${service}=${instances}`, service];
  const { code, stderr } = await compose.run(args);
  if (code !== 0) throw new Failure(EXIT.unhealthy, `${service} could not be started again`, lastLines(stderr, 5));
}

/** nginx sends nothing to it while it restarts: a request that has begun there is not sent twice. */
async function restartGateway(context: Context, colour: Colour, gateways: readonly Container[]): Promise<void> {
  const all = gatewayAddresses(context.settings, colour);
  for (const { id, addresses } of gateways) {
    const others = all.filter((address) => !address.startsWith(`${addresses['edge']}:`));
    const { nginx, oldWorkers } = await replaceEdge(context, { 'upstream.conf': upstreamText(others) });
    await workersGone(nginx, oldWorkers);
    await run('docker', ['restart', id]);
    await awaitReady(context, colour);
    await replaceEdge(context, { 'upstream.conf': upstreamText(all) });
  }
}
