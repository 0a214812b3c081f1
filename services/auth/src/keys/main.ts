// `make rotate-signing-keys`: signs access tokens with the next key from now on.
import { fileURLToPath } from 'node:url';
import { systemClock } from '@gatehouse/kit/clock';
import { ConfigError, databaseSettings, loadConfig, secret } from '@gatehouse/kit/config';
import { deriveSealingKeys } from '@gatehouse/kit/crypto';
import { openPool } from '@gatehouse/kit/db';
import { schemaCheck } from '@gatehouse/kit/migrations';
import { z } from 'zod';
import { KEK_PURPOSE, rotateNow } from './keys.ts';

const Config = z.object({
  ...databaseSettings,
  AUTH_DATABASE_PASSWORD: z.string().meta({ secret: true }),
  JWT_SECRET: secret(),
  JWT_SECRET_ALTERNATE: secret().optional(),
  /** Also when the next key was published a moment ago. */
  FORCE: z.enum(['1']).optional(),
});
const EX_CONFIG = 78;
const EX_TEMPFAIL = 75;

async function run(): Promise<void> {
  const config = loadConfig(Config, process.env);
  const pool = openPool({
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: config.DATABASE_NAME,
    tls: config.DATABASE_TLS,
    user: 'gatehouse_auth',
    password: config.AUTH_DATABASE_PASSWORD,
    max: 1,
    name: 'auth-rotate',
  });
  try {
    await schemaCheck(pool, 'auth', fileURLToPath(new URL('../../migrations', import.meta.url)));
    const kek = deriveSealingKeys(config.JWT_SECRET, config.JWT_SECRET_ALTERNATE, KEK_PURPOSE);
    const rotated = await rotateNow({ pool, clock: systemClock, kek }, { force: config.FORCE === '1' });
    if (rotated.outcome === 'rotated') {
      process.stdout.write(`${rotated.active} signs from now on; every instance has noticed within a minute\n`);
      return;
    }
    process.stderr.write(
      `rotate-signing-keys: who verifies may not have seen the next key yet; wait ${rotated.waitSeconds} s, or FORCE=1\n`,
    );
    process.exitCode = EX_TEMPFAIL;
  } finally {
    await pool.end();
  }
}

try {
  await run();
} catch (error) {
  const oneLine = (error as Error).message.replace(/\s*\n\s*-?\s*/g, ' ');
  process.stderr.write(`rotate-signing-keys: ${oneLine}\n`);
  process.exitCode = error instanceof ConfigError ? EX_CONFIG : 1;
}
