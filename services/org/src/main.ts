import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { deriveSealingKeys } from '@gatehouse/kit/crypto';
import { runMain } from '@gatehouse/kit/main';
import { connect } from '@gatehouse/kit/service';
import { createApp } from './app.ts';
import { Config } from './config.ts';
import { countOperations } from './operations.ts';
import { createScanningKeys } from './secret-scanning/keys.ts';

await runMain(
  'org',
  Config,
  (config) => config.ORG_OPS_PORT,
  async (process) => {
    const { config, log, metrics, clock } = process;
    const { pool, facts, redis, verifier } = await connect(process, {
      password: config.ORG_DATABASE_PASSWORD,
      poolMax: config.ORG_POOL_MAX,
      mainUrl: import.meta.url,
    });
    const app = createApp({
      pool,
      facts,
      redis,
      clock,
      log,
      metrics,
      verifier,
      operations: countOperations(metrics),
      environment: config.ENVIRONMENT,
      scanningKeys: createScanningKeys({ url: config.SECRET_SCANNING_KEYS_URL, clock }),
      secrets: { mail: deriveSealingKeys(config.MAIL_KEY, config.MAIL_KEY_ALTERNATE, MAIL_SECRET.purpose) },
      limits: {
        organizationsPerUser: config.ORGANIZATIONS_PER_USER_MAX,
      },
    });
    await process.listen(app, config.ORG_PORT);
  },
);
