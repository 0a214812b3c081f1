import type { z } from 'zod';
import { ACCESS_EVENTS } from './events/access.ts';
import { AUTH_EVENTS } from './events/auth.ts';
import { FACTOR_EVENTS } from './events/factors.ts';
import { ORG_EVENTS } from './events/org.ts';
import { PLATFORM_EVENTS } from './events/platform.ts';
import { WORK_EVENTS } from './events/work.ts';

/** `security`: who-are-you; `access`: a refused may-you; `admin_action`: an administrator's; `change`: the rest. */
export type EventKind = 'security' | 'access' | 'admin_action' | 'change';
export interface EventDefinition {
  kind: EventKind;
  data: z.ZodType;
}

/** Every event that the platform records, by versioned name; `data` holds ids and old and new values, no secret. */
export const EVENTS = {
  ...ACCESS_EVENTS,
  ...AUTH_EVENTS,
  ...FACTOR_EVENTS,
  ...ORG_EVENTS,
  ...PLATFORM_EVENTS,
  ...WORK_EVENTS,
} as const satisfies Record<string, EventDefinition>;

export type EventType = keyof typeof EVENTS;
export type EventData<T extends EventType> = z.infer<(typeof EVENTS)[T]['data']>;
