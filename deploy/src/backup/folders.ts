import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import type { Places } from '../places.ts';
import { ownFile } from '../secrets/vault.ts';

const POSTGRES = 999;

/** Folders of the host that containers write to: the second place of backups, and the metrics of backups. */
export function prepareFolders({ state, backups, metrics }: Places): void {
  for (const folder of [backups, metrics]) mkdirSync(folder, { recursive: true });
  ownFile(state, basename(backups), POSTGRES, 0o755);
  // The deployer writes there too, whoever it is; nobody replaces a file of another.
  ownFile(state, basename(metrics), POSTGRES, 0o1777);
}
