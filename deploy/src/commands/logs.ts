import { interactive } from '../command.ts';
import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { COLOURED, servicesOf } from '../places.ts';
import { readLive } from '../state.ts';

/** `make logs`: follows the processes of the live colour, or what S names: `auth`, `auth-green`, `postgres`. */
export const command: Command = async ({ compose, places }, { service }) => {
  const live = readLive(places);
  const colour = live?.colour ?? 'blue';
  const present = new Set((await compose.containers()).map((container) => container.service));
  const asked = service ? service.split(/[\s,]+/).flatMap((name) => expand(name, colour)) : servicesOf(colour);
  const unknown = asked.filter((name) => !present.has(name));
  if (unknown.length > 0)
    throw new Failure(EXIT.usage, `There is no container of ${unknown.join(', ')}`, [
      present.size > 0 ? `There are: ${[...present].sort().join(', ')}` : 'Nothing is deployed here.',
    ]);
  // Compose names each process at the beginning of its lines; this follows until somebody stops it.
  const code = await interactive('docker', [
    'compose',
    '-p',
    compose.options.project,
    'logs',
    '-f',
    '--tail',
    '100',
    ...asked,
  ]);
  if (code !== 0 && code !== 130) throw new Failure(EXIT.bug, `docker compose logs ended with ${code}`);
};

/** A process without its colour is that of the live one; `gateway` and `worker` are all of them. */
function expand(name: string, colour: string): string[] {
  const matching = COLOURED.filter((process) => process === name || process.replace(/-\d$/, '') === name);
  return matching.length > 0 ? matching.map((process) => `${process}-${colour}`) : [name];
}
