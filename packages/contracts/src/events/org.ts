import { z } from 'zod';

export const ORG_EVENTS = {
  'org.member_removed.v1': { kind: 'change', data: z.strictObject({ user_id: z.uuid(), role: z.string() }) },
} as const;
