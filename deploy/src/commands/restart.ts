import type { Command } from '../context.ts';
import { recover } from '../deploy/recover.ts';
import { restartService, servicesToRestart } from '../deploy/restart.ts';
import { stage } from '../deploy/stages.ts';
import { locked } from '../deploy/under-lock.ts';
import { EXIT, Failure } from '../failure.ts';
import { readLive } from '../state.ts';

/** `make restart [S=service]`: the processes of the live release, one by one. */
export const command: Command = async (context, variables) => {
  const { report, places } = context;
  const services = servicesToRestart(variables.service);
  await locked(context, { command: 'restart' }, variables, async () => {
    await stage(report, 'recover', (detail) => recover(context, detail));
    const live = readLive(places);
    if (!live) throw new Failure(EXIT.usage, 'Nothing is live, so there is nothing to restart');
    for (const name of services)
      await report.step(`restart-${name}`, `Restart ${name}`, () => restartService(context, live.colour, name));
  });
};
