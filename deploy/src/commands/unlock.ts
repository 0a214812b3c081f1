import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { breakLock, describeHolder, lockHolder } from '../lock.ts';
import { confirmDestruction } from '../terminal.ts';

/** `make unlock`: a lock whose holder is gone needs none of this; the next command takes it over by itself. */
export const command: Command = async (context, { force }) => {
  const { places, report } = context;
  const lock = lockHolder(places);
  if (!lock) return report.show('unlock', { held: false }, ['Nobody holds the lock.']);
  const who = describeHolder(lock.holder);
  report.show('holder', { ...lock.holder, alive: lock.alive }, [`${who}: ${lock.alive ? 'it runs' : 'it is gone'}`]);
  if (lock.alive && !force)
    throw new Failure(EXIT.locked, 'The command that holds the lock runs; two at once would damage what they deploy', [
      'Wait for it, or stop it: it gives the lock back. FORCE=1 takes it away nevertheless.',
    ]);
  await confirmDestruction(context, 'The lock is taken away from', { holder: who });
  // Somebody else may have taken it over while this was being confirmed.
  if (lockHolder(places)?.holder.id !== lock.holder.id)
    throw new Failure(EXIT.locked, 'The lock has another holder by now; nothing was done');
  breakLock(places);
  report.show('unlock', { held: false }, ['The lock is free.']);
};
