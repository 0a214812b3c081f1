import { z } from 'zod';

/** Refused access decisions, by the gateway or by a service. */
export const ACCESS_EVENTS = {
  'access.denied.v1': {
    kind: 'access',
    data: z.strictObject({
      method: z.string(),
      route: z.string(),
      status: z.number().int(),
      code: z.string(),
      permission: z.string().optional(),
      /** Why the gateway refused, in the words of its metric `authz_decisions_total`. */
      reason: z.string().optional(),
    }),
  },
} as const;
