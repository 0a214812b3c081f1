import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, run } from '../command.ts';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { type Colour, servicesOf } from '../places.ts';

const LOG_LINES = 200;

/** Starts the six services of a colour as the context's release has them; what has not changed is only started. */
export async function startColour({ compose }: Context, colour: Colour): Promise<void> {
  const args = ['--profile', 'green', 'up', '-d', '--no-deps', '--no-build', '--pull', 'never', ...servicesOf(colour)];
  const { code, stderr } = await compose.run(args, { timeoutMs: 180_000 });
  if (code === 0) return;
  throw new Failure(EXIT.unhealthy, `The containers of ${colour} could not be started`, lastLines(stderr, 5));
}

export function containersOf({ compose }: Context, colour: Colour): Promise<Container[]> {
  return compose.containers(servicesOf(colour));
}

/** Ends a colour's processes as they want to be ended; the containers stay, so that a rollback only starts them. */
export async function stopColour(context: Context, colour: Colour): Promise<void> {
  const running = (await containersOf(context, colour)).filter(
    ({ state }) => state !== 'exited' && state !== 'created',
  );
  const isGateway = ({ service }: Container) => service.startsWith('gateway-');
  // What a gateway is still forwarding needs the services behind it.
  await stop(running.filter(isGateway));
  await stop(running.filter((container) => !isGateway(container)));
}

export async function removeColour(context: Context, colour: Colour): Promise<void> {
  await stopColour(context, colour);
  const ids = (await containersOf(context, colour)).map(({ id }) => id);
  if (ids.length > 0) await must('docker', ['rm', '-f', '-v', ...ids]);
}

/** The container's own time to end counts: Compose gave each its `stop_grace_period`. */
async function stop(containers: readonly Container[]): Promise<void> {
  const ids = containers.map(({ id }) => id);
  if (ids.length > 0) await run('docker', ['stop', ...ids], { timeoutMs: 120_000 });
}

/** Keeps the last lines of each container in a file of its own below `logs/`; returns the folder. */
export async function saveLogs(containers: readonly Container[], releaseFolder: string): Promise<string> {
  const folder = join(releaseFolder, 'logs', new Date().toISOString().replaceAll(/[:.]/g, '-'));
  // Of people's addresses and what they did: the engine shows it to nobody else either.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const { id, service } of containers)
    writeFileSync(join(folder, `${service}-${id.slice(0, 12)}.log`), (await logsOf(id)).join('\n'));
  return folder;
}

export async function logsOf(id: string): Promise<string[]> {
  const { stdout, stderr } = await run('docker', ['logs', '--tail', String(LOG_LINES), id]);
  return `${stdout}${stderr}`.trimEnd().split('\n');
}

export function lastLines(text: string, count: number): string[] {
  return text.trimEnd().split('\n').slice(-count);
}
