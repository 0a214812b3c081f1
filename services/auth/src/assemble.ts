import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import { deriveKey, deriveSealingKeys } from '@gatehouse/kit/crypto';
import type { Pool } from '@gatehouse/kit/db';
import type { Facts } from '@gatehouse/kit/facts';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Redis } from '@gatehouse/kit/redis';
import type { Config } from './config.ts';
import type { Deps } from './deps.ts';
import { SEED_PURPOSE } from './factors/totp.ts';
import { KEK_PURPOSE, openKeyring } from './keys/keys.ts';
import { sprayMetrics } from './login/spray.ts';
import { createAuthMetrics } from './metrics.ts';
import { createHasher } from './passwords/hasher.ts';
import { createHashPool } from './passwords/pool.ts';
import { countLiveSessions } from './sessions/sessions.ts';
import { createSessionKeys } from './tokens/session-keys.ts';

interface Parts {
  config: Config;
  pool: Pool;
  redis: Redis;
  facts: Facts;
  log: Logger;
  metrics: Metrics;
  clock: Clock;
}

/** Makes what the features work with. Throws when the secrets are not those that the database was written with. */
export async function assemble({ config, metrics, ...parts }: Parts): Promise<Deps> {
  const { pool, redis, clock } = parts;
  const authMetrics = createAuthMetrics(metrics);
  const secrets = deriveSecrets(config);
  const keyring = await openKeyring({
    pool,
    clock,
    kek: secrets.signingKeys,
    rotationDays: config.SIGNING_KEY_ROTATION_DAYS,
    accessTokenTtlSeconds: config.ACCESS_TOKEN_TTL_SECONDS,
  });
  metrics.gauge({
    name: 'auth_signing_key_age_seconds',
    help: 'Age of the key that signs access tokens.',
    collect: (gauge) => gauge.set(keyring.ageSeconds()),
  });
  metrics.gauge({
    name: 'auth_sessions_active',
    help: 'Sessions that live.',
    // Without Postgres the other metrics are needed most.
    collect: async (gauge) =>
      gauge.set(
        await countLiveSessions(pool, clock()).then(
          ({ total }) => total,
          () => Number.NaN,
        ),
      ),
  });
  sprayMetrics(metrics, redis);
  const hashes = createHashPool({
    concurrency: config.HASH_CONCURRENCY,
    queueMax: config.HASH_QUEUE_MAX,
    duration: authMetrics.hashDuration,
  });
  return {
    ...parts,
    config,
    metrics: authMetrics,
    keyring,
    sessionKeys: createSessionKeys(),
    hasher: createHasher({
      scheme: config.PASSWORD_SCHEME,
      bcryptCost: config.BCRYPT_COST,
      pepper: config.PASSWORD_PEPPER,
      pool: hashes,
    }),
    secrets,
  };
}

function deriveSecrets(config: Config): Deps['secrets'] {
  const fromJwtSecret = (purpose: string) => deriveSealingKeys(config.JWT_SECRET, config.JWT_SECRET_ALTERNATE, purpose);
  return {
    signingKeys: fromJwtSecret(KEK_PURPOSE),
    sessions: fromJwtSecret('session keys'),
    factors: fromJwtSecret(SEED_PURPOSE),
    codes: fromJwtSecret('one-time codes'),
    // Of what is never replaced: guesses that were counted stay counted.
    budgets: deriveKey(config.PASSWORD_PEPPER, 'guess budgets'),
    mail: deriveSealingKeys(config.MAIL_KEY, config.MAIL_KEY_ALTERNATE, MAIL_SECRET.purpose),
  };
}
