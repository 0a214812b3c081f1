import { count, databaseSettings, port, processSettings, redisSettings, secret } from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the worker. */
export const Config = z.object({
  ...processSettings,
  ...databaseSettings,
  ...redisSettings,
  ...identitySettings,
  WORKER_DATABASE_PASSWORD: secret(),
  WORKER_PORT: port(),
  WORKER_OPS_PORT: port(),
  WORKER_POOL_MAX: count(2, 100),
  MAIL_KEY: secret(),
  MAIL_FROM: z.string().regex(/^[^\r\n]*[^\s@<]+@[^\s@>]+>?$/, 'must be an address, or a name and an <address>'),
  SMTP_HOST: z.string(),
  SMTP_PORT: port(),
  SMTP_SECURITY: z.enum(['none', 'starttls', 'tls']),
  SMTP_USER: z.string().optional(),
  SMTP_PASSWORD: z.string().meta({ secret: true }).optional(),
});
export type Config = z.output<typeof Config>;
