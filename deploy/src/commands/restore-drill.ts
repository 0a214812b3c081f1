import { restoreDrill } from '../backup/drill.ts';
import type { Command } from '../context.ts';
import { withLock } from '../lock.ts';

/** `make restore-drill`: what a disaster would cost, measured. */
export const command: Command = async (context, { lockWaitSeconds }) => {
  const { places, report } = context;
  await withLock(places, { command: 'restore-drill', report }, lockWaitSeconds, async () => {
    const drill = await restoreDrill(context);
    report.show('drill', drill, [
      `RTO ${drill.rto_seconds} s: the newest state restored and verified`,
      `RPO ${drill.rpo_seconds} s: the age of the newest archived change`,
      drill.point ? `and ${drill.point} from the second place` : 'and nothing from the second place',
    ]);
  });
};
