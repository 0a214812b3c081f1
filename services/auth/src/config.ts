import {
  count,
  databaseSettings,
  list,
  port,
  processSettings,
  redisSettings,
  secret,
  secretOutsideDevelopment,
} from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the auth service. */
export const Config = z
  .object({
    ...processSettings,
    ...databaseSettings,
    ...redisSettings,
    ...identitySettings,
    AUTH_DATABASE_PASSWORD: secret(),
    AUTH_PORT: port(),
    AUTH_OPS_PORT: port(),
    AUTH_POOL_MAX: count(2, 100),
    JWT_SECRET: secret(),
    // What it replaces, or what is to replace it: opened too, never sealed with.
    JWT_SECRET_ALTERNATE: secret().optional(),
    PASSWORD_PEPPER: secret(),
    MAIL_KEY: secret(),
    MAIL_KEY_ALTERNATE: secret().optional(),
    BOOTSTRAP_SECRET: secretOutsideDevelopment(),
    REGISTRATION_MODE: z.enum(['admin', 'open', 'invite']),
    PASSWORD_MIN_LENGTH: count(8, 64),
    ACCOUNT_DELETION_GRACE_DAYS: count(1, 90),
    PASSWORD_SCHEME: z.enum(['bcrypt', 'argon2id']),
    BCRYPT_COST: count(4, 16),
    HASH_CONCURRENCY: count(0, 64),
    HASH_QUEUE_MAX: count(0, 1000),
    LOGIN_BUDGET: count(1, 100_000),
    LOGIN_ACCOUNT_NETWORK_BUDGET: count(1, 100_000),
    LOGIN_NETWORK_BUDGET: count(1, 1_000_000),
    LOGIN_BUDGET_WINDOW_SECONDS: count(1, 86_400),
    LOGIN_LOCK_FAILURES: count(2, 100_000),
    LOGIN_LOCK_SECONDS: count(1, 86_400),
    SECOND_FACTOR_REQUIRED_FOR: z.enum(['nobody', 'admins', 'everyone']),
    // The pages that may hold a session in a cookie, beside those of PUBLIC_URL.
    CORS_ORIGINS: list(),
    ACCESS_TOKEN_TTL_SECONDS: count(10, 3600),
    REFRESH_GRACE_SECONDS: count(0, 60),
    SESSION_IDLE_SECONDS: count(60),
    SESSION_ABSOLUTE_SECONDS: count(60),
    ADMIN_SESSION_IDLE_SECONDS: count(60),
    ADMIN_SESSION_ABSOLUTE_SECONDS: count(60),
    SESSIONS_MAX: count(1, 1000),
    SIGNING_KEY_ROTATION_DAYS: count(1, 90),
  })
  // Judged even when other settings are wrong, so that every mistake is listed at once.
  .refine(({ ENVIRONMENT, BCRYPT_COST }) => ENVIRONMENT === 'development' || BCRYPT_COST >= 12, {
    path: ['BCRYPT_COST'],
    message: 'must be at least 12 outside development',
    when: () => true,
  });
export type Config = z.output<typeof Config>;
