import { randomUUID } from 'node:crypto';
import { systemClock } from '@gatehouse/kit/clock';
import { openPool } from '@gatehouse/kit/db';
import { createFacts } from '@gatehouse/kit/facts';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { openRedis } from '@gatehouse/kit/redis';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { client, listen } from '@gatehouse/testkit/server';
import pg from 'pg';
import { prepareDatabase } from '../dev/src/data.ts';
import { ROOT } from '../dev/src/platform.ts';
import { readSecret } from '../dev/src/secrets.ts';
import { createApp } from '../services/auth/src/app.ts';
import { assemble } from '../services/auth/src/assemble.ts';
import { SETTINGS } from '../services/auth/src/testing.ts';
import type { House } from './house.ts';
import { quantile } from './load.ts';
import { atMost, type Line } from './report.ts';
import { figure, interleave } from './rounds.ts';

const ROUNDS = 7;
const LISTS = 200;
const SESSIONS_EACH = 5;

interface Town {
  /** Milliseconds that a list takes in the median. */
  list(): Promise<number>;
  close(): Promise<void>;
}

/** A user's list of sessions among 10,000 users against one among 10, through HTTP, one after the other, warm. */
export async function measureSessionLists(house: House): Promise<Line[]> {
  const towns: Town[] = [];
  try {
    for (const users of [10, 10_000]) towns.push(await openTown(house, users));
    const [village, city] = towns as [Town, Town];
    const rounds = await interleave(ROUNDS, city.list, village.list);
    const ratio = figure(rounds.map(({ subject, baseline }) => subject / baseline));
    const ms = quantile(
      rounds.map(({ subject }) => subject),
      0.5,
    );
    const what = 'list of a user’s sessions: median time at 10,000 users, times that at 10';
    return [atMost(what, ratio, 1.3, '', `: ${ms.toFixed(2)} ms`)];
  } finally {
    for (const town of towns) await town.close();
  }
}

async function openTown({ platform }: House, users: number): Promise<Town> {
  const { settings, secretsDir, postgres } = platform;
  const database = `sessions_${users}`;
  const { host, port } = postgres;
  await prepareDatabase(postgres, {
    settings: { ...settings, DATABASE_NAME: database },
    secretsDir,
    root: ROOT,
    freshSecrets: false,
  });
  const people = Array.from({ length: users }, () => randomUUID());
  await settle(new pg.Client({ host, port, user: postgres.user, password: postgres.password, database }), people);

  const log = createLogger({ service: 'bench', version: '0', environment: 'bench', level: 'error' });
  const metrics = createMetrics({ version: '0', revision: '0' });
  const redis = openRedis({
    url: platform.redis.url,
    password: readSecret(secretsDir, 'REDIS_PASSWORD'),
    log,
    name: 'bench',
  });
  const password = platform.databasePasswords.auth;
  const pool = openPool({ host, port, database, user: 'gatehouse_auth', password, max: 4, name: database });
  const facts = createFacts(redis, log);
  const deps = await assemble({ config: SETTINGS, pool, redis, facts, log, metrics, clock: systemClock });
  const server = await listen(createApp({ deps, metrics, verifier: testVerifier('auth') }));
  const auth = client(server.url);
  return {
    async list() {
      const times: number[] = [];
      for (let turn = 0; turn < LISTS; turn++) {
        const headers = identityHeaders('auth', { sub: people[(turn * 7919) % users] as string });
        const start = performance.now();
        const { status, body } = await auth.get('/api/auth/sessions', headers);
        times.push(performance.now() - start);
        if (status !== 200 || body.data.length !== SESSIONS_EACH) throw new Error(`no list: ${status}`);
      }
      return quantile(times, 0.5);
    },
    async close() {
      await server.close();
      redis.disconnect();
      await pool.end();
    },
  };
}

/** Users with live sessions, as so many sign-ins would have left them. */
async function settle(admin: pg.Client, people: readonly string[]): Promise<void> {
  await admin.connect();
  try {
    await admin.query(
      `insert into auth.users (id, email, name, role, created_at, updated_at)
       select id, id || '@users.test', 'Uma User', 'user', now(), now() from unnest($1::uuid[]) id`,
      [people],
    );
    await admin.query(
      `insert into auth.sessions (id, user_id, key_sealed, rotated_at, device, address, created_at, last_used_at,
                                  idle_expires_at, expires_at)
       select gen_random_uuid(), id, '\\x00', now(), 'Bench', '192.0.2.1', now(), now(), now() + interval '1 day',
         now() + interval '1 day'
       from unnest($1::uuid[]) id, generate_series(1, $2::integer)`,
      [people, SESSIONS_EACH],
    );
    await admin.query('vacuum analyze auth.users, auth.sessions');
  } finally {
    await admin.end();
  }
}
