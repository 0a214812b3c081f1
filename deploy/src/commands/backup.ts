import { backupAndVerify } from '../backup/verified-backup.ts';
import type { Command } from '../context.ts';
import { withLock } from '../lock.ts';
import { seconds } from '../report.ts';

/** `make backup`: now, and proven by a restore. */
export const command: Command = async (context, { lockWaitSeconds }) => {
  const { places, report } = context;
  await withLock(places, { command: 'backup', report }, lockWaitSeconds, async () => {
    const record = await report.step('backup', 'Back up the database, restore the backup and compare', () =>
      backupAndVerify(context, 'manual'),
    );
    const { id, kind, bytes, backup_ms, restore_ms, tables, rows } = record;
    report.show('backup', record, [
      `${id} (${kind}), ${Math.round(bytes / 1e6)} MB: backed up in ${seconds(backup_ms)}, restored and verified in ${seconds(restore_ms)}`,
      `${rows} rows in ${tables} tables, audit log intact up to ${record.audit_head?.seq ?? 0}`,
    ]);
  });
};
