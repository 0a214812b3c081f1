import { z } from 'zod';
import { PlatformRole } from '../identity.ts';

/** Who an attempt was aimed at when no account is known by it: an HMAC of the address, never what was typed. */
const account = z.string();
/** Who asks for a mail may have meant any address; `sent` is false for those that have no use for it. */
const requested = z.strictObject({ account, user_id: z.uuid().optional(), sent: z.boolean() });
const session = z.strictObject({ user_id: z.uuid(), session_id: z.uuid() });
const accountStatus = z.strictObject({ status: z.enum(['active', 'disabled', 'closing', 'deleted']) });
const statusChange = z.strictObject({ user_id: z.uuid(), reason: z.string(), old: accountStatus, new: accountStatus });
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
  /** Somebody visits as a guest of the address that they registered, whoever it belongs to. */
  'auth.guest_registered.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid(), account }) },
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
      purpose: z.enum(['password_reset', 'verify_address', 'email_change', 'restore_account', 'not_me', 'unlock']),
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
      reason: z.enum([
        'unknown_account',
        'wrong_password',
        'account_inactive',
        'throttled',
        'locked',
        'password_reset_required',
      ]),
    }),
  },
  /** Strangers' tries at the address are not judged until then; null: until its owner is back. */
  'auth.account_locked.v1': {
    kind: 'security',
    data: z.strictObject({ account, user_id: z.uuid().optional(), until: z.iso.datetime().nullable() }),
  },
  'auth.account_unlocked.v1': { kind: 'security', data: z.strictObject({ user_id: z.uuid() }) },
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
        'replaced',
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

  'auth.user_disabled.v1': { kind: 'admin_action', data: statusChange },
  'auth.user_enabled.v1': { kind: 'admin_action', data: statusChange },
  'auth.user_deletion_ordered.v1': { kind: 'admin_action', data: statusChange },
  'auth.user_restored.v1': { kind: 'admin_action', data: statusChange },
  'auth.user_role_changed.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id: z.uuid(),
      reason: z.string(),
      old: z.strictObject({ role: PlatformRole }),
      new: z.strictObject({ role: PlatformRole }),
    }),
  },
  'auth.user_sessions_ended.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id: z.uuid(),
      reason: z.string(),
      old: z.strictObject({ sessions: z.int() }),
      new: z.strictObject({ sessions: z.int() }),
    }),
  },
  'auth.user_unlocked.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id: z.uuid(),
      reason: z.string(),
      old: z.strictObject({ locked: z.boolean() }),
      new: z.strictObject({ locked: z.boolean() }),
    }),
  },
  'auth.user_reset_forced.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id: z.uuid(),
      reason: z.string(),
      old: z.strictObject({ password_reset_required: z.boolean() }),
      new: z.strictObject({ password_reset_required: z.boolean() }),
    }),
  },
  'auth.user_change_refused.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id: z.uuid(),
      action: z.string(),
      why: z.enum(['last_admin', 'oneself', 'last_owner']),
    }),
  },
  /** A batch of an import: accounts by id, lines of the file by number. */
  'auth.users_imported.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      file_hash: z.string(),
      from_line: z.int(),
      to_line: z.int(),
      user_ids: z.array(z.uuid()),
      refused: z.int(),
    }),
  },

  'auth.key_rotated.v1': {
    kind: 'security',
    data: z.strictObject({ active: z.string(), pending: z.string(), retired: z.string().optional() }),
  },
} as const;
