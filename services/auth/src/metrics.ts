import type { Metrics } from '@gatehouse/kit/metrics';
import { SEALED_KINDS } from './resealing/kinds.ts';

// None of the reasons is told to a client; the metrics are for operators only.
export const LOGIN_REASONS = [
  'ok',
  'unknown_account',
  'wrong_password',
  'account_inactive',
  // The password was not looked at: too soon, or the account is locked.
  'throttled',
  'locked',
  'password_reset_required',
  'overloaded',
  // The password was right; a second factor is asked for.
  'second_factor',
] as const;
export const REGISTRATION_REASONS = [
  'ok',
  'address_taken',
  'password_weak',
  'organization_unknown',
  'throttled',
  'denied',
  'invitation_not_valid',
  'no_place',
  'domain_refused',
] as const;
export const REFRESH_REASONS = ['ok', 'grace', 'expired', 'revoked', 'reuse', 'invalid'] as const;
export const LIMITERS = [
  'login_account',
  'login_account_network',
  'login_device',
  'login_network',
  'registration_network',
  'confirmation_mail',
  'mail_network',
  'password_change',
  'email_change',
  'second_factor',
  'code_mail',
] as const;
export const MFA_METHODS = ['totp', 'email', 'recovery'] as const;

export type AuthMetrics = ReturnType<typeof createAuthMetrics>;

/** What operators see of this service; every series starts at 0. */
export function createAuthMetrics(metrics: Metrics) {
  const sealedWithAlternate = metrics.gauge({
    name: 'auth_sealed_with_alternate',
    help: 'Rows that the last round found sealed with JWT_SECRET_ALTERNATE; while it is not 0 that must stay.',
    labels: { kind: SEALED_KINDS },
  });
  for (const kind of SEALED_KINDS) sealedWithAlternate.set({ kind }, 0);
  return {
    logins: metrics.counter({
      name: 'auth_login_attempts_total',
      help: 'Sign-in attempts.',
      labels: { method: ['password'], outcome: ['success', 'challenged', 'failure'], reason: LOGIN_REASONS },
    }),
    mfaChallenges: metrics.counter({
      name: 'auth_mfa_challenges_total',
      help: 'Second factors judged, at sign-in and when a user proves once more who they are.',
      labels: { method: MFA_METHODS, outcome: ['success', 'failure', 'throttled'] },
    }),
    mfaEnrolments: metrics.counter({
      name: 'auth_mfa_enrolments_total',
      help: 'Second factors set up and given up.',
      labels: { method: MFA_METHODS, change: ['added', 'removed'] },
    }),
    reauthentications: metrics.counter({
      name: 'auth_reauthentications_total',
      help: 'Proofs of users who were signed in already.',
      labels: { outcome: ['success', 'failure'] },
    }),
    registrations: metrics.counter({
      name: 'auth_registrations_total',
      help: 'Registrations asked for.',
      labels: { outcome: ['success', 'rejected'], reason: REGISTRATION_REASONS },
    }),
    passwordResets: metrics.counter({
      name: 'auth_password_resets_total',
      help: 'New passwords by a mailed link: asked for, set, refused.',
      labels: { outcome: ['requested', 'success', 'refused', 'throttled'] },
    }),
    refreshes: metrics.counter({
      name: 'auth_refresh_total',
      help: 'Refresh tokens presented.',
      labels: { outcome: ['success', 'failure'], reason: REFRESH_REASONS },
    }),
    lockouts: metrics.counter({
      name: 'auth_lockouts_total',
      help: 'Accounts that were locked for strangers, and networks that used up their tries.',
      labels: { scope: ['account', 'ip'] },
    }),
    rateLimited: metrics.counter({
      name: 'auth_rate_limited_total',
      help: 'Requests refused because a budget was used up.',
      labels: { limiter: LIMITERS },
    }),
    sealedWithAlternate,
    hashDuration: metrics.histogram({
      name: 'auth_password_hash_duration_seconds',
      help: 'Time of one password hash, without its wait for a place.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2],
    }),
  };
}
