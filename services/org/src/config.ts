import { count, databaseSettings, port, processSettings, redisSettings, secret } from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the org service. */
export const Config = z
  .object({
    ...processSettings,
    ...databaseSettings,
    ...redisSettings,
    ...identitySettings,
    ORG_DATABASE_PASSWORD: secret(),
    MAIL_KEY: secret(),
    // The one that MAIL_KEY replaces, or that is to replace it: taken by everyone who has MAIL_KEY.
    MAIL_KEY_ALTERNATE: secret().optional(),
    ORG_PORT: port(),
    ORG_OPS_PORT: port(),
    ORG_POOL_MAX: count(1, 100),
    ORGANIZATIONS_PER_USER_MAX: count(0, 10_000),
    SECRET_SCANNING_KEYS_URL: z.url({ protocol: /^https?$/ }).optional(),
  })
  .refine(isSafeKeysUrl, { path: ['SECRET_SCANNING_KEYS_URL'], message: 'must be an https address' });
export type Config = z.output<typeof Config>;

/** Whoever can change the keys on their way can have any API key revoked. */
function isSafeKeysUrl(config: { ENVIRONMENT: string; SECRET_SCANNING_KEYS_URL?: string | undefined }): boolean {
  const url = config.SECRET_SCANNING_KEYS_URL;
  return url === undefined || config.ENVIRONMENT === 'development' || url.startsWith('https:');
}
