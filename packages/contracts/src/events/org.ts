import { z } from 'zod';

const role = z.enum(['owner', 'admin', 'analyst', 'billing', 'viewer']);
const profile = z.strictObject({ name: z.string().optional(), slug: z.string().optional() });
const standing = z.strictObject({ status: z.string(), plan: z.string() });
const keyRule = z.strictObject({ method: z.string(), path: z.string() });

/** What happens to organizations, their members and their API keys. */
export const ORG_EVENTS = {
  'org.organization_created.v1': {
    kind: 'change',
    data: z.strictObject({ name: z.string(), slug: z.string(), plan: z.string() }),
  },
  'org.organization_changed.v1': { kind: 'change', data: z.strictObject({ old: profile, new: profile }) },
  'org.organization_deleted.v1': { kind: 'change', data: z.strictObject({ name: z.string(), slug: z.string() }) },
  'org.organization_administered.v1': {
    kind: 'admin_action',
    data: z.strictObject({ reason: z.string(), old: standing, new: standing }),
  },
  /** Published by whoever calls the door `org.admit_user`, in the same transaction. */
  'org.member_added.v1': { kind: 'change', data: z.strictObject({ user_id: z.uuid(), role }) },
  'org.member_role_changed.v1': {
    kind: 'change',
    data: z.strictObject({ user_id: z.uuid(), old: z.strictObject({ role }), new: z.strictObject({ role }) }),
  },
  'org.member_removed.v1': { kind: 'change', data: z.strictObject({ user_id: z.uuid(), role }) },
  'org.member_left.v1': { kind: 'change', data: z.strictObject({ user_id: z.uuid(), role }) },
  'org.api_key_created.v1': {
    kind: 'security',
    data: z.strictObject({
      key_id: z.uuid(),
      name: z.string(),
      prefix: z.string(),
      scopes: z.array(z.string()),
      rules: z.array(keyRule),
      addresses: z.array(z.string()),
      expires_at: z.iso.datetime(),
    }),
  },
  'org.api_key_rotated.v1': {
    kind: 'security',
    data: z.strictObject({ key_id: z.uuid(), replaced_by: z.uuid(), overlap_until: z.iso.datetime() }),
  },
  'org.api_key_revoked.v1': { kind: 'security', data: z.strictObject({ key_id: z.uuid(), name: z.string() }) },
} as const;
