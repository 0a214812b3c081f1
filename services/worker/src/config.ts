import { count, databaseSettings, port, processSettings, redisSettings, secret, url } from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the worker. */
export const Config = z
  .object({
    ...processSettings,
    ...databaseSettings,
    ...redisSettings,
    ...identitySettings,
    WORKER_DATABASE_PASSWORD: secret(),
    WORKER_PORT: port(),
    WORKER_OPS_PORT: port(),
    WORKER_POOL_MAX: count(2, 100),
    MAIL_KEY: secret(),
    // The one that MAIL_KEY replaces, or that is to replace it: mails that are owed open with either.
    MAIL_KEY_ALTERNATE: secret().optional(),
    MAIL_FROM: z.string().regex(/^[^\r\n]*[^\s@<]+@[^\s@>]+>?$/, 'must be an address, or a name and an <address>'),
    MAIL_TRANSPORT: z.enum(['smtp', 'sendgrid']),
    SENDGRID_API_URL: url().transform((value) => value.replace(/\/+$/, '')),
    SENDGRID_API_KEY: secret().optional(),
    SMTP_HOST: z.string(),
    SMTP_PORT: port(),
    SMTP_SECURITY: z.enum(['none', 'starttls', 'tls']),
    SMTP_USER: z.string().optional(),
    SMTP_PASSWORD: z.string().meta({ secret: true }).optional(),
  })
  .superRefine((config, context) => {
    const mistake = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
    if (config.MAIL_TRANSPORT !== 'sendgrid') return;
    if (!config.SENDGRID_API_KEY) mistake('SENDGRID_API_KEY', 'is required when MAIL_TRANSPORT is sendgrid');
    if (config.ENVIRONMENT !== 'development' && !config.SENDGRID_API_URL.startsWith('https:'))
      mistake('SENDGRID_API_URL', 'must begin with https outside development');
  });
export type Config = z.output<typeof Config>;
