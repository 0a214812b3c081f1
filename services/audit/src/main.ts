import { runMain } from '@gatehouse/kit/main';
import { connect } from '@gatehouse/kit/service';
import { createApp } from './app.ts';
import { Config } from './config.ts';
import { startSealing } from './sealing/sealing.ts';

await runMain(
  'audit',
  Config,
  (config) => config.AUDIT_OPS_PORT,
  async (process) => {
    const { config, log, metrics, clock, lifecycle } = process;
    const { pool, verifier } = await connect(process, {
      password: config.AUDIT_DATABASE_PASSWORD,
      poolMax: config.AUDIT_POOL_MAX,
      mainUrl: import.meta.url,
    });
    const sealing = startSealing({ pool, log, metrics, clock });
    lifecycle.onStop('work', 'sealing', () => sealing.stop());
    await process.listen(createApp({ pool, log, metrics, verifier }), config.AUDIT_PORT);
  },
);
