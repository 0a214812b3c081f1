import { runMain } from '@gatehouse/kit/main';
import { connect } from '@gatehouse/kit/service';
import { createApp } from './app.ts';
import { Config } from './config.ts';
import { countOperations } from './operations.ts';

await runMain(
  'org',
  Config,
  (config) => config.ORG_OPS_PORT,
  async (process) => {
    const { config, log, metrics, clock } = process;
    const { pool, facts, verifier } = await connect(process, {
      password: config.ORG_DATABASE_PASSWORD,
      poolMax: config.ORG_POOL_MAX,
      mainUrl: import.meta.url,
    });
    const app = createApp({
      pool,
      facts,
      clock,
      log,
      metrics,
      verifier,
      operations: countOperations(metrics),
      environment: config.ENVIRONMENT,
      limits: {
        organizationsPerUser: config.ORGANIZATIONS_PER_USER_MAX,
        apiKeysPerOrganization: config.API_KEYS_PER_ORGANIZATION_MAX,
      },
    });
    await process.listen(app, config.ORG_PORT);
  },
);
