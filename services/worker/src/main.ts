import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { deriveSealingKeys } from '@gatehouse/kit/crypto';
import { runMain } from '@gatehouse/kit/main';
import { connect } from '@gatehouse/kit/service';
import { createApp } from './app.ts';
import { Config } from './config.ts';
import { createTransport } from './mail/create-transport.ts';
import { startWorking } from './working.ts';

const STOP_MS = 25_000;

await runMain(
  'worker',
  Config,
  (config) => config.WORKER_OPS_PORT,
  async (process) => {
    const { config, log, metrics, clock, lifecycle } = process;
    const { pool, verifier } = await connect(process, {
      password: config.WORKER_DATABASE_PASSWORD,
      poolMax: config.WORKER_POOL_MAX,
      mainUrl: import.meta.url,
    });
    const transport = createTransport(config);
    const mailKeys = deriveSealingKeys(config.MAIL_KEY, config.MAIL_KEY_ALTERNATE, MAIL_SECRET.purpose);
    const working = startWorking({
      pool,
      clock,
      log,
      metrics,
      redis: { url: config.REDIS_URL, password: config.REDIS_PASSWORD },
      mail: { transport, mailKeys, publicUrl: config.PUBLIC_URL, from: config.MAIL_FROM },
    });
    lifecycle.onStop('work', 'jobs', () => working.stop(), STOP_MS);
    lifecycle.onStop('connections', 'queues', () => working.disconnect());
    const app = createApp({ pool, log, metrics, verifier, queues: working.queues, publicUrl: config.PUBLIC_URL });
    await process.listen(app, config.WORKER_PORT);
  },
);
