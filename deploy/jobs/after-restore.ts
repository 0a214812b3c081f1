// What follows a restore before anybody gets in: no session, link, code or trusted device of before goes on, and Redis
// forgets what it knew of the database that is gone: cached facts, and jobs, which the workers queue anew from Postgres.
import { loadConfig, redisSettings } from '@gatehouse/kit/config';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { job, migrator, withClient } from './database.ts';

const BATCH = 500;

async function forget(): Promise<number> {
  const config = loadConfig(z.object(redisSettings), process.env);
  const redis = new Redis(config.REDIS_URL, {
    ...(config.REDIS_PASSWORD ? { password: config.REDIS_PASSWORD } : {}),
    maxRetriesPerRequest: 3,
  });
  try {
    let forgotten = 0;
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'COUNT', BATCH);
      if (keys.length > 0) forgotten += await redis.unlink(...keys);
      cursor = next;
    } while (cursor !== '0');
    return forgotten;
  } finally {
    redis.disconnect();
  }
}

await job(async () => {
  const sessions = await withClient(migrator(), async (client) => {
    const { rows } = await client.query(`select auth.end_everything(clock_timestamp(), 'restored') as sessions`);
    return rows[0].sessions;
  });
  return { sessions, keys: await forget() };
});
