import { restore } from '../backup/restore.ts';
import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { withLock } from '../lock.ts';

/** `make restore FROM=latest|<backup> [AT=time]`. */
export const command: Command = async (context, { from, at, lockWaitSeconds }) => {
  const { places, report } = context;
  if (!from)
    throw new Failure(EXIT.usage, 'FROM= names the backup', [
      'FROM=latest, or one that `make backups` lists; AT= a time.',
    ]);
  await withLock(places, { command: 'restore', report }, lockWaitSeconds, () => restore(context, { from, at }));
};
