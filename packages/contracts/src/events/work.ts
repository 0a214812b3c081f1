import { z } from 'zod';

export const WORK_EVENTS = {
  /** A platform admin acts on the queue board: retries, removes, pauses. Recorded before it is done. */
  'work.queue_action.v1': {
    kind: 'admin_action',
    data: z.strictObject({ method: z.string(), path: z.string() }),
  },
} as const;
