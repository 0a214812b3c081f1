import { z } from 'zod';

/** Who an attempt was aimed at when no account is known by it: an HMAC of the address, never what was typed. */
const account = z.string();
const session = z.strictObject({ user_id: z.uuid(), session_id: z.uuid() });

/** What happens to accounts, sessions and signing keys. */
export const AUTH_EVENTS = {
  'auth.bootstrap_completed.v1': {
    kind: 'admin_action',
    data: z.strictObject({ user_id: z.uuid(), org_id: z.uuid() }),
  },

  'auth.user_registered.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), mode: z.enum(['admin', 'open', 'invite']), role: z.string() }),
  },
  'auth.registration_refused.v1': {
    kind: 'security',
    data: z.strictObject({
      account,
      reason: z.enum(['address_taken', 'password_weak', 'organization_unknown', 'throttled']),
    }),
  },
  'auth.email_verified.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
  'auth.profile_changed.v1': {
    kind: 'change',
    data: z.strictObject({
      user_id: z.uuid(),
      old: z.strictObject({ name: z.string() }),
      new: z.strictObject({ name: z.string() }),
    }),
  },

  'auth.login_succeeded.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), session_id: z.uuid(), method: z.enum(['password']) }),
  },
  'auth.login_failed.v1': {
    kind: 'security',
    data: z.strictObject({
      account,
      user_id: z.uuid().optional(),
      reason: z.enum(['unknown_account', 'wrong_password', 'account_inactive', 'throttled']),
    }),
  },
  'auth.password_rehashed.v1': { kind: 'change', data: z.strictObject({ user_id: z.uuid() }) },

  'auth.logout.v1': { kind: 'security', data: session },
  'auth.session_revoked.v1': {
    kind: 'security',
    data: session.extend({
      reason: z.enum([
        'user',
        'session_limit',
        'address_confirmed',
        'password_changed',
        'password_reset',
        'email_changed',
        'not_me',
        'disabled',
        'account_closed',
        'admin',
      ]),
    }),
  },
  'auth.refresh_reuse.v1': { kind: 'security', data: session },
  'auth.refresh_refused.v1': {
    kind: 'security',
    data: z.strictObject({
      user_id: z.uuid().optional(),
      session_id: z.uuid().optional(),
      reason: z.enum(['malformed', 'unknown', 'ended', 'expired', 'mismatch']),
    }),
  },

  'auth.key_rotated.v1': {
    kind: 'security',
    data: z.strictObject({ active: z.string(), pending: z.string(), retired: z.string().optional() }),
  },
} as const;
