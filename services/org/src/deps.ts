import type { Clock } from '@gatehouse/kit/clock';
import type { SealingKeys } from '@gatehouse/kit/crypto';
import type { Pool } from '@gatehouse/kit/db';
import type { Facts } from '@gatehouse/kit/facts';
import type { Logger } from '@gatehouse/kit/log';
import type { Redis } from '@gatehouse/kit/redis';
import type { Operations } from './operations.ts';
import type { ScanningKeys } from './secret-scanning/keys.ts';

/** What the features work with; made once in main. */
export interface Deps {
  pool: Pool;
  facts: Facts;
  /** For counts that the gateway keeps; may be away. */
  redis: Pick<Redis, 'hvals'>;
  clock: Clock;
  log: Logger;
  operations: Operations;
  environment: 'development' | 'staging' | 'production';
  secrets: {
    /** Seals what a mail must carry until it is sent. */
    mail: SealingKeys;
  };
  /** Which keys sign reports of leaked API keys; undefined where none are taken. */
  scanningKeys: ScanningKeys | undefined;
  limits: {
    /** Organizations that one user may found. */
    organizationsPerUser: number;
  };
}
