import { z } from 'zod';

const role = z.enum(['owner', 'admin', 'analyst', 'billing', 'viewer']);
const profile = z.strictObject({ name: z.string().optional(), slug: z.string().optional() });
const standing = z.strictObject({ status: z.string(), plan: z.string() });
const transfer = z.strictObject({ from: z.uuid().nullable(), to: z.uuid() });
/** The address is masked: the log outlives the person's account. */
const invitation = z.strictObject({ invitation_id: z.uuid(), email: z.string(), role });
const policies = z.strictObject({
  require_second_factor: z.boolean(),
  allowed_domains: z.array(z.string()),
  session_max_seconds: z.int().nullable(),
  retention_days: z.int().nullable(),
});
const keyRule = z.strictObject({ method: z.string(), path: z.string() });

/** What happens to organizations, their members and their API keys. */
export const ORG_EVENTS = {
  'org.organization_created.v1': {
    kind: 'change',
    data: z.strictObject({ name: z.string(), slug: z.string(), plan: z.string() }),
  },
  'org.organization_changed.v1': { kind: 'change', data: z.strictObject({ old: profile, new: profile }) },
  'org.organization_deleted.v1': { kind: 'change', data: z.strictObject({ name: z.string(), slug: z.string() }) },
  /** Thirty days after its deletion, with everything that was in it. */
  'org.organization_purged.v1': { kind: 'change', data: z.strictObject({ name: z.string(), slug: z.string() }) },
  'org.organization_administered.v1': {
    kind: 'admin_action',
    data: z.strictObject({ reason: z.string(), old: standing, new: standing }),
  },
  'org.policies_changed.v1': { kind: 'security', data: z.strictObject({ old: policies, new: policies }) },
  /** `from` is null when a platform admin appoints an owner. */
  'org.ownership_transferred.v1': { kind: 'security', data: transfer },
  'org.invitation_created.v1': { kind: 'security', data: invitation },
  'org.invitation_resent.v1': { kind: 'security', data: invitation },
  'org.invitation_withdrawn.v1': { kind: 'security', data: invitation },
  'org.invitation_declined.v1': { kind: 'security', data: z.strictObject({ invitation_id: z.uuid(), role }) },
  /** With `org.member_added.v1`, by whoever calls the door `org.accept_invitation` or accepts here. */
  'org.invitation_accepted.v1': {
    kind: 'security',
    data: z.strictObject({ invitation_id: z.uuid(), user_id: z.uuid(), role }),
  },
  'org.invitation_refused.v1': {
    kind: 'security',
    data: z.strictObject({ invitation_id: z.uuid().optional(), reason: z.string() }),
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
  'org.api_key_renamed.v1': {
    kind: 'change',
    data: z.strictObject({
      key_id: z.uuid(),
      old: z.strictObject({ name: z.string() }),
      new: z.strictObject({ name: z.string() }),
    }),
  },
  /** A partner for secret scanning found the key in public; it was revoked with this. `url` is where it said it is. */
  'org.api_key_leaked.v1': {
    kind: 'security',
    data: z.strictObject({
      key_id: z.uuid(),
      name: z.string(),
      prefix: z.string(),
      url: z.string().optional(),
      source: z.string().optional(),
    }),
  },
  /** Somebody reported keys without being the partner who may. */
  'org.leak_report_refused.v1': {
    kind: 'security',
    data: z.strictObject({ reason: z.enum(['unsigned', 'unknown_key', 'bad_signature']) }),
  },
  'org.api_key_revoked.v1': { kind: 'security', data: z.strictObject({ key_id: z.uuid(), name: z.string() }) },
} as const;
