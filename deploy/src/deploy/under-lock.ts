import type { Context, Variables } from '../context.ts';
import { withLock } from '../lock.ts';
import { requireEngine } from '../preflight/engine.ts';
import { stage } from './stages.ts';

interface Purpose {
  command: string;
  revision?: string;
}

/** Does the work under the lock of the environment; waiting for it is a stage of its own. */
export async function locked(
  context: Context,
  purpose: Purpose,
  { lockWaitSeconds }: Pick<Variables, 'lockWaitSeconds'>,
  work: () => Promise<void>,
): Promise<void> {
  const { places, report } = context;
  await requireEngine();
  const taken = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  const whole = withLock(places, { ...purpose, report }, lockWaitSeconds, async () => {
    taken.resolve();
    await told.promise;
    await work();
  });
  await stage(report, 'lock', () => Promise.race([taken.promise, whole]));
  told.resolve();
  await whole;
}
