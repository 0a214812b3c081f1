import { count, databaseSettings, port, processSettings, redisSettings, secret } from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the audit service. */
export const Config = z.object({
  ...processSettings,
  ...databaseSettings,
  ...redisSettings,
  ...identitySettings,
  AUDIT_DATABASE_PASSWORD: secret(),
  AUDIT_PORT: port(),
  AUDIT_OPS_PORT: port(),
  AUDIT_POOL_MAX: count(2, 100),
});
export type Config = z.output<typeof Config>;
