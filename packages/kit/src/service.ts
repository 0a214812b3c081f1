import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { checkClock } from './clock-check.ts';
import { type databaseSettings, pem, type redisSettings } from './config.ts';
import { one, openPool, type Pool } from './db.ts';
import { createFacts, type Facts } from './facts.ts';
import { createVerifier, type IdentityVerifier } from './identity.ts';
import { errorFields } from './log.ts';
import type { Process } from './main.ts';
import { SchemaError, schemaCheck } from './migrations.ts';
import { openRedis, type Redis } from './redis.ts';

/** The setting that every service verifies identities with. */
export const identitySettings = { IDENTITY_PUBLIC_KEYS: pem({ secret: false }) };

type ServiceConfig = z.output<z.ZodObject<typeof databaseSettings & typeof redisSettings & typeof identitySettings>>;

export interface Connections {
  pool: Pool;
  redis: Redis;
  facts: Facts;
  verifier: IdentityVerifier;
}

interface ConnectOptions {
  password: string;
  poolMax: number;
  /** `import.meta.url` of the service's main.ts: its migrations are in `../migrations`. */
  mainUrl: string;
}

const DATABASE_RETRY_MS = 1_000;

/**
 * Connects a service to Postgres and Redis and registers their checks and their ends. Waits, not ready, while Postgres
 * is away; throws when the schema is one that this release does not know.
 */
export async function connect(
  process: Process<ServiceConfig>,
  { password, poolMax, mainUrl }: ConnectOptions,
): Promise<Connections> {
  const { name, config, log, metrics, lifecycle, clock } = process;
  const pool = openPool({
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: config.DATABASE_NAME,
    tls: config.DATABASE_TLS,
    user: `gatehouse_${name}`,
    password,
    max: poolMax,
    name,
    log,
    metrics,
  });
  const redis = openRedis({ url: config.REDIS_URL, password: config.REDIS_PASSWORD, log, name });
  process.check('postgres', () => one(pool, z.object({ ok: z.number() }))`select 1 as ok`);
  process.check('clock', () => checkClock(pool, clock));
  process.check('redis', () => redis.ping(), { optional: true });
  lifecycle.onStop('connections', 'postgres', () => pool.end());
  lifecycle.onStop('connections', 'redis', () => redis.disconnect());

  const migrations = fileURLToPath(new URL('../migrations', mainUrl));
  for (let said = false; !lifecycle.stopping; ) {
    try {
      await schemaCheck(pool, name, migrations);
      break;
    } catch (error) {
      if (error instanceof SchemaError) throw error;
      if (!said) log.warn('waiting for the database', errorFields(error));
      said = true;
      await new Promise((resolve) => setTimeout(resolve, DATABASE_RETRY_MS));
    }
  }
  return { pool, redis, facts: createFacts(redis, log), verifier: createVerifier(config.IDENTITY_PUBLIC_KEYS, name) };
}
