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
    }),
  },
} as const;
