import type { Command } from '../context.ts';
import { setMaintenance } from '../deploy/maintenance.ts';

/** `make maintenance-on`. */
export const command: Command = (context) => setMaintenance(context, true);
