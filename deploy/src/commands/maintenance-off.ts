import type { Command } from '../context.ts';
import { setMaintenance } from '../deploy/maintenance.ts';

/** `make maintenance-off`. */
export const command: Command = (context) => setMaintenance(context, false);
