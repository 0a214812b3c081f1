import { z } from 'zod';

export const AUTH_EVENTS = {
  'auth.login_succeeded.v1': { kind: 'security', data: z.strictObject({ session_id: z.uuid() }) },
} as const;
