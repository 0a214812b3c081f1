import { count, databaseSettings, port, processSettings, redisSettings, secret } from '@gatehouse/kit/config';
import { identitySettings } from '@gatehouse/kit/service';
import { z } from 'zod';

/** Settings of the org service. */
export const Config = z.object({
  ...processSettings,
  ...databaseSettings,
  ...redisSettings,
  ...identitySettings,
  ORG_DATABASE_PASSWORD: secret(),
  ORG_PORT: port(),
  ORG_OPS_PORT: port(),
  ORG_POOL_MAX: count(1, 100),
  ORGANIZATIONS_PER_USER_MAX: count(0, 10_000),
  API_KEYS_PER_ORGANIZATION_MAX: count(0, 10_000),
});
export type Config = z.output<typeof Config>;
