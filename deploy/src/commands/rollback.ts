import type { Command } from '../context.ts';
import { rollback } from '../deploy/rollback.ts';

/** `make rollback [TO=revision]`: to the release before the one that is live. */
export const command: Command = rollback;
