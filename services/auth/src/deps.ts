import type { Clock } from '@gatehouse/kit/clock';
import type { SealingKeys } from '@gatehouse/kit/crypto';
import type { Pool } from '@gatehouse/kit/db';
import type { Facts } from '@gatehouse/kit/facts';
import type { Logger } from '@gatehouse/kit/log';
import type { Redis } from '@gatehouse/kit/redis';
import type { Config } from './config.ts';
import type { Keyring } from './keys/keys.ts';
import type { AuthMetrics } from './metrics.ts';
import type { Hasher } from './passwords/hasher.ts';
import type { SessionKeys } from './tokens/session-keys.ts';

/** What the features work with; made once by `assemble`. */
export interface Deps {
  config: Config;
  pool: Pool;
  redis: Redis;
  facts: Facts;
  log: Logger;
  clock: Clock;
  metrics: AuthMetrics;
  hasher: Hasher;
  keyring: Keyring;
  sessionKeys: SessionKeys;
  /** One key for each purpose, derived from the secrets of the deployment. */
  secrets: {
    signingKeys: SealingKeys;
    sessions: SealingKeys;
    factors: SealingKeys;
    codes: SealingKeys;
    budgets: Buffer;
    mail: SealingKeys;
  };
}
