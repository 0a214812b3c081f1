import type { Metrics } from '@gatehouse/kit/metrics';

// None of the reasons is told to a client; the metrics are for operators only.
export const LOGIN_REASONS = [
  'ok',
  'unknown_account',
  'wrong_password',
  'account_inactive',
  'throttled',
  'overloaded',
] as const;
export const REGISTRATION_REASONS = [
  'ok',
  'address_taken',
  'password_weak',
  'organization_unknown',
  'throttled',
  'denied',
] as const;
export const REFRESH_REASONS = ['ok', 'grace', 'expired', 'revoked', 'reuse', 'invalid'] as const;
export const LIMITERS = ['login_account', 'login_network', 'registration_network', 'confirmation_mail'] as const;

export type AuthMetrics = ReturnType<typeof createAuthMetrics>;

/** What operators see of this service; every series starts at 0. */
export function createAuthMetrics(metrics: Metrics) {
  return {
    logins: metrics.counter({
      name: 'auth_login_attempts_total',
      help: 'Sign-in attempts.',
      labels: { method: ['password'], outcome: ['success', 'failure'], reason: LOGIN_REASONS },
    }),
    registrations: metrics.counter({
      name: 'auth_registrations_total',
      help: 'Registrations asked for.',
      labels: { outcome: ['success', 'rejected'], reason: REGISTRATION_REASONS },
    }),
    refreshes: metrics.counter({
      name: 'auth_refresh_total',
      help: 'Refresh tokens presented.',
      labels: { outcome: ['success', 'failure'], reason: REFRESH_REASONS },
    }),
    rateLimited: metrics.counter({
      name: 'auth_rate_limited_total',
      help: 'Requests refused because a budget was used up.',
      labels: { limiter: LIMITERS },
    }),
    hashDuration: metrics.histogram({
      name: 'auth_password_hash_duration_seconds',
      help: 'Time of one password hash, without its wait for a place.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2],
    }),
  };
}
