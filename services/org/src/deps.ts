import type { Clock } from '@gatehouse/kit/clock';
import type { Pool } from '@gatehouse/kit/db';
import type { Facts } from '@gatehouse/kit/facts';
import type { Logger } from '@gatehouse/kit/log';
import type { Operations } from './operations.ts';

/** What the features work with; made once in main. */
export interface Deps {
  pool: Pool;
  facts: Facts;
  clock: Clock;
  log: Logger;
  operations: Operations;
  environment: 'development' | 'staging' | 'production';
  limits: {
    /** Organizations that one user may found. */
    organizationsPerUser: number;
    /** API keys that one organization may have in use at a time. */
    apiKeysPerOrganization: number;
  };
}
