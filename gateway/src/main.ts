import { fileURLToPath } from 'node:url';
import { checkClock } from '@gatehouse/kit/clock-check';
import { openPool } from '@gatehouse/kit/db';
import { runMain } from '@gatehouse/kit/main';
import { createServer } from '@gatehouse/kit/node-http';
import { openRedis } from '@gatehouse/kit/redis';
import { release } from '@gatehouse/kit/release';
import { ping } from './access-events/store.ts';
import { createGateway } from './app.ts';
import { Config } from './config.ts';

const MAX_HEADER_BYTES = 16 * 1024;
// A large upload over a slow line takes this long; whoever drips is cut off.
const REQUEST_TIMEOUT_MS = 300_000;

await runMain(
  'gateway',
  Config,
  (config) => config.GATEWAY_OPS_PORT,
  async (running) => {
    const { config, log, metrics, lifecycle, clock } = running;
    const db = openPool({
      host: config.DATABASE_HOST,
      port: config.DATABASE_PORT,
      database: config.DATABASE_NAME,
      tls: config.DATABASE_TLS,
      user: 'gatehouse_gateway',
      password: config.GATEWAY_DATABASE_PASSWORD,
      max: config.GATEWAY_POOL_MAX,
      name: 'gateway',
      log,
      metrics,
    });
    const redis = openRedis({ url: config.REDIS_URL, password: config.REDIS_PASSWORD, log, name: 'gateway' });
    running.check('redis', () => redis.ping(), { optional: true });
    running.check('postgres', () => ping(db), { optional: true });
    // Without Postgres there is nothing to compare with, and the gateway works on.
    running.check('clock', () =>
      ping(db).then(
        () => checkClock(db, clock),
        () => undefined,
      ),
    );

    const gateway = createGateway({
      config,
      clock,
      log,
      metrics,
      redis,
      db,
      version: release.version,
      openapiFile: fileURLToPath(new URL('../../docs/openapi.json', import.meta.url)),
    });
    lifecycle.onStop('listeners', 'upgrades', () => gateway.closeUpgrades());
    lifecycle.onStop('work', 'gateway', () => gateway.close());
    lifecycle.onStop('connections', 'redis', () => redis.disconnect());
    lifecycle.onStop('connections', 'postgres', () => db.end());

    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      noDelay: true,
      highWaterMark: 64 * 1024,
    });
    gateway.attach(server);
    await running.listen(server, config.GATEWAY_PORT);
  },
);
