import { z } from 'zod';

/** Who an attempt was aimed at when no account is known by it: an HMAC of the address, never what was typed. */
const account = z.string();
/** Who asks for a mail may have meant any address; `sent` is false for those that have no use for it. */
const requested = z.strictObject({ account, user_id: z.uuid().optional(), sent: z.boolean() });
const session = z.strictObject({ user_id: z.uuid(), session_id: z.uuid() });
const device = z.strictObject({ user_id: z.uuid(), device_id: z.uuid() });

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
      reason: z.enum([
        'address_taken',
        'password_weak',
        'organization_unknown',
        'throttled',
        'invitation_not_valid',
        'no_place',
        'domain_refused',
      ]),
    }),
  },
  'auth.email_verified.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
  'auth.confirmation_requested.v1': { kind: 'security', data: requested },
  'auth.password_changed.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
  'auth.password_change_refused.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), reason: z.enum(['wrong_password', 'throttled']) }),
  },
  'auth.password_reset_requested.v1': { kind: 'security', data: requested },
  'auth.password_reset.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid(), verified: z.boolean() }) },
  'auth.link_refused.v1': {
    kind: 'security',
    data: z.strictObject({
      purpose: z.enum(['password_reset', 'verify_address', 'email_change', 'restore_account']),
      user_id: z.uuid().optional(),
    }),
  },
  /** Addresses by their label: the log outlives the account. */
  'auth.email_change_requested.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), new: account, taken: z.boolean() }),
  },
  'auth.email_change_confirmed.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), side: z.enum(['old', 'new']) }),
  },
  'auth.email_change_refused.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), new: account, reason: z.enum(['address_taken', 'throttled']) }),
  },
  'auth.email_change_cancelled.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
  'auth.email_changed.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), old: account, new: account }),
  },
  'auth.account_closing.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), by: z.enum(['user', 'admin']), deletion_due_at: z.iso.datetime() }),
  },
  'auth.account_closing_refused.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), reason: z.enum(['last_owner', 'last_admin']) }),
  },
  'auth.account_restored.v1': {
    kind: 'security',
    data: z.strictObject({ user_id: z.uuid(), by: z.enum(['user', 'admin']) }),
  },
  /** Written by the database, once the time for second thoughts is over. */
  'auth.account_deleted.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
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
    data: z.strictObject({
      user_id: z.uuid(),
      session_id: z.uuid(),
      method: z.enum(['password']),
      second_factor: z.enum(['totp', 'email', 'recovery', 'trusted_device']).optional(),
    }),
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
        'device_revoked',
      ]),
    }),
  },
  'auth.device_added.v1': { kind: 'security', data: device },
  'auth.device_trusted.v1': { kind: 'security', data: device },
  'auth.device_revoked.v1': { kind: 'security', data: device },
  /** Somebody said by the link of a mail that a sign-in was not theirs. */
  'auth.not_me.v1': { kind: 'security', data: device },
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
