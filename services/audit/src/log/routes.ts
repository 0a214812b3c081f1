import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Id } from '@gatehouse/kit/ids';
import { Page, pageOf } from '@gatehouse/kit/page';
import { z } from 'zod';
import { type LogDeps, LogEntry, PlatformLogEntry } from './entries.ts';
import { listLog } from './log.ts';

// Outside these years a time is a mistake, and not all of them can be stored.
const Time = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .refine((time) => time.getTime() >= 0 && time.getUTCFullYear() < 10_000, 'must be from 1970 to 9999');

const Filters = Page.extend({
  action: z
    .string()
    .regex(/^[a-z0-9_.]{1,100}$/, 'must be the name of an event')
    .optional(),
  actor: Id.optional(),
  target: Id.optional(),
  from: Time.optional(),
  to: Time.optional(),
});

const AdminFilters = Filters.extend({
  kind: z.enum(['security', 'admin_action', 'access', 'change']).optional(),
  org_id: Id.optional(),
});

export function logRoutes({ pool }: LogDeps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/audit',
      summary: "List an organization's audit log, newest first",
      description:
        '`from` is inclusive, `to` exclusive; `actor` is the id of a user or an API key, `target` of what was acted on.',
      permission: 'audit:read',
      query: Filters,
      answers: { 200: pageOf(LogEntry) },
      handle: ({ org, query }) => listLog(pool, { ...query, org_id: org.id }, { platform: false }),
    }),
    endpoint({
      get: '/api/admin/audit',
      summary: 'List the audit log of the whole platform, newest first',
      description: 'For platform admins: also events of no organization. Filters as for an organization.',
      permission: 'platform_admin',
      query: AdminFilters,
      answers: { 200: pageOf(PlatformLogEntry) },
      handle: ({ query }) => listLog(pool, query, { platform: true }),
    }),
  ];
}
