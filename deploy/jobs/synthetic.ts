// Makes the synthetic tenant, or makes it what it should be again: run in the tools image before every check.
import { fileURLToPath } from 'node:url';
import { systemClock } from '@gatehouse/kit/clock';
import { databaseSettings, loadConfig, secret } from '@gatehouse/kit/config';
import { deriveSealingKeys } from '@gatehouse/kit/crypto';
import { openPool } from '@gatehouse/kit/db';
import { schemaCheck } from '@gatehouse/kit/migrations';
import { z } from 'zod';
import { Config as AuthConfig } from '../../services/auth/src/config.ts';
import { SEED_PURPOSE } from '../../services/auth/src/factors/totp.ts';
import { createHasher } from '../../services/auth/src/passwords/hasher.ts';
import { createHashPool } from '../../services/auth/src/passwords/pool.ts';
import { keepSynthetic, type SyntheticPerson } from '../../services/auth/src/synthetic/synthetic.ts';
import { type Person, tenantOf } from '../src/smoke/tenant.ts';

const { shape } = AuthConfig;
const Config = z.object({
  ...databaseSettings,
  AUTH_DATABASE_PASSWORD: secret(),
  SYNTHETIC_PASSWORD: secret(),
  JWT_SECRET: shape.JWT_SECRET,
  JWT_SECRET_ALTERNATE: shape.JWT_SECRET_ALTERNATE,
  PASSWORD_PEPPER: shape.PASSWORD_PEPPER,
  PASSWORD_SCHEME: shape.PASSWORD_SCHEME,
  BCRYPT_COST: shape.BCRYPT_COST,
  SECOND_FACTOR_REQUIRED_FOR: shape.SECOND_FACTOR_REQUIRED_FOR,
});
const MIGRATIONS = fileURLToPath(new URL('../../services/auth/migrations', import.meta.url));

const config = loadConfig(Config, process.env);
const pool = openPool({
  host: config.DATABASE_HOST,
  port: config.DATABASE_PORT,
  database: config.DATABASE_NAME,
  tls: config.DATABASE_TLS,
  user: 'gatehouse_auth',
  password: config.AUTH_DATABASE_PASSWORD,
  max: 2,
  name: 'synthetic',
});
const person = ({ id, email, name, password, seed }: Person): SyntheticPerson => ({ id, email, name, password, seed });

try {
  await schemaCheck(pool, 'auth', MIGRATIONS);
  const { orgId, name, owner, viewer } = tenantOf(config.SYNTHETIC_PASSWORD);
  const hasher = createHasher({
    scheme: config.PASSWORD_SCHEME,
    bcryptCost: config.BCRYPT_COST,
    pepper: config.PASSWORD_PEPPER,
    pool: createHashPool({ concurrency: 0, queueMax: 10, duration: { observe: () => undefined } }),
  });
  const factors = deriveSealingKeys(config.JWT_SECRET, config.JWT_SECRET_ALTERNATE, SEED_PURPOSE);
  const kept = await keepSynthetic(
    { pool, clock: systemClock, hasher, config, secrets: { factors } },
    { org_id: orgId, name, owner: person(owner), viewer: person(viewer) },
  );
  process.stdout.write(`${JSON.stringify({ org_id: orgId, ...kept })}\n`);
} finally {
  await pool.end();
}
