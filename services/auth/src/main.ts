import { availableParallelism } from 'node:os';
import { errorFields } from '@gatehouse/kit/log';
import { runMain } from '@gatehouse/kit/main';
import { connect } from '@gatehouse/kit/service';
import { createApp } from './app.ts';
import { assemble } from './assemble.ts';
import { Config } from './config.ts';
import { startResealing } from './resealing/resealing.ts';

// libuv reads this at its first use. Hashing takes as many threads as there are cores; four more keep files and names
// readable meanwhile.
process.env['UV_THREADPOOL_SIZE'] ??= String(availableParallelism() + 4);

const KEY_CHECK_MS = 60_000;

await runMain(
  'auth',
  Config,
  (config) => config.AUTH_OPS_PORT,
  async (process) => {
    const { config, log, metrics, clock, lifecycle } = process;
    const { verifier, ...connections } = await connect(process, {
      password: config.AUTH_DATABASE_PASSWORD,
      poolMax: config.AUTH_POOL_MAX,
      mainUrl: import.meta.url,
    });
    const deps = await assemble({ ...connections, config, log, metrics, clock });
    const keyCheck = setInterval(() => {
      deps.keyring.maintain().catch((error) => log.error('the signing keys could not be checked', errorFields(error)));
    }, KEY_CHECK_MS);
    lifecycle.onStop('work', 'key rotation', () => clearInterval(keyCheck));
    if (config.JWT_SECRET_ALTERNATE) {
      const resealing = startResealing(deps);
      lifecycle.onStop('work', 'resealing', resealing.stop);
    }
    await process.listen(createApp({ deps, metrics, verifier }), config.AUTH_PORT);
  },
);
