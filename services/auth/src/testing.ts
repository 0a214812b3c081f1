import { randomUUID } from 'node:crypto';
import { createFacts } from '@gatehouse/kit/facts';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { openRedis } from '@gatehouse/kit/redis';
import { type TestClock, testClock } from '@gatehouse/testkit/clock';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, publicKeys, testVerifier } from '@gatehouse/testkit/identities';
import { type Answer, type Client, client, listen } from '@gatehouse/testkit/server';
import { testRedis } from '@gatehouse/testkit/test-redis';
import jwt from 'jsonwebtoken';
import { createApp } from './app.ts';
import { assemble } from './assemble.ts';
import type { Config } from './config.ts';
import type { Deps } from './deps.ts';

export const PASSWORD = 'violet tram under quiet hill';
const HOUR_SECONDS = 3600;

export const SETTINGS: Config = {
  ENVIRONMENT: 'development',
  PUBLIC_URL: 'https://gatehouse.test',
  BIND_ADDRESS: '127.0.0.1',
  LOG_LEVEL: 'error',
  SHUTDOWN_GRACE_MS: 0,
  SENTRY_TRACES_SAMPLE_RATE: 0,
  SENTRY_PROFILES_SAMPLE_RATE: 0,
  DATABASE_HOST: '127.0.0.1',
  DATABASE_PORT: 0,
  DATABASE_NAME: 'gatehouse',
  DATABASE_TLS: false,
  REDIS_URL: 'redis://127.0.0.1',
  IDENTITY_PUBLIC_KEYS: publicKeys,
  AUTH_DATABASE_PASSWORD: 'for-tests-only',
  AUTH_PORT: 0,
  AUTH_OPS_PORT: 0,
  AUTH_POOL_MAX: 10,
  JWT_SECRET: 'k3Yq9vLx2mZr8Tn5Wb7Hc4Jd6Fg1Ps0A',
  PASSWORD_PEPPER: 'p8Wd3Nf6Rk1Xj9Lt5Mv2Cq7Bz4Hs0GyE',
  MAIL_KEY: 'm2Vb6Yt9Qw4Er7Ui1Op5As8Df3Gh0JkLz',
  REGISTRATION_MODE: 'admin',
  PASSWORD_MIN_LENGTH: 12,
  ACCOUNT_DELETION_GRACE_DAYS: 14,
  PASSWORD_SCHEME: 'bcrypt',
  BCRYPT_COST: 4,
  HASH_CONCURRENCY: 2,
  HASH_QUEUE_MAX: 200,
  LOGIN_BUDGET: 10,
  LOGIN_ACCOUNT_NETWORK_BUDGET: 5,
  LOGIN_NETWORK_BUDGET: 1000,
  LOGIN_BUDGET_WINDOW_SECONDS: 900,
  LOGIN_LOCK_FAILURES: 20,
  LOGIN_LOCK_SECONDS: 900,
  SECOND_FACTOR_REQUIRED_FOR: 'nobody',
  CORS_ORIGINS: ['https://app.gatehouse.test'],
  ACCESS_TOKEN_TTL_SECONDS: 900,
  REFRESH_GRACE_SECONDS: 10,
  SESSION_IDLE_SECONDS: 24 * HOUR_SECONDS,
  SESSION_ABSOLUTE_SECONDS: 30 * 24 * HOUR_SECONDS,
  ADMIN_SESSION_IDLE_SECONDS: HOUR_SECONDS,
  ADMIN_SESSION_ABSOLUTE_SECONDS: 12 * HOUR_SECONDS,
  SESSIONS_MAX: 20,
  SIGNING_KEY_ROTATION_DAYS: 30,
};

export interface Instance {
  url: string;
  deps: Deps;
  metrics: () => Promise<string>;
  anonymous: Client;
  as(about: Parameters<typeof identityHeaders>[1], headers?: Record<string, string>): Client;
}

export interface AuthUnderTest extends Instance {
  database: TestDatabase;
  clock: TestClock;
  redis: Awaited<ReturnType<typeof testRedis>>;
  /** A further process on the same database. */
  another(settings?: Partial<Config>): Promise<Instance>;
  /** A user who may sign in, written past the API. */
  user(options?: Partial<{ email: string; role: string; status: string; hash: string | null }>): Promise<TestUser>;
  /** What an administrator of the database sees. */
  rows<T = Record<string, unknown>>(text: string, values?: unknown[]): Promise<T[]>;
  events(type: string): Promise<{ data: Record<string, unknown>; outcome: string; actor: Record<string, unknown> }[]>;
  close(): Promise<void>;
}

export interface TestUser {
  id: string;
  email: string;
  password: string;
}

/** The auth service on a database of its own, over HTTP. */
export async function startAuth(settings: Partial<Config> = {}): Promise<AuthUnderTest> {
  const database = await testDatabase();
  const redis = await testRedis();
  const clock = testClock();
  const closes: (() => unknown)[] = [];
  const log = createLogger({ service: 'auth', version: 'test', environment: 'development', level: 'error' });

  async function instance(further: Partial<Config>): Promise<Instance> {
    const metrics = createMetrics({ version: 'test', revision: 'test' });
    const connection = openRedis({ url: redis.url, log, name: 'auth' });
    await new Promise((resolve) => connection.once('ready', resolve));
    closes.push(() => connection.disconnect());
    const config = { ...SETTINGS, ...settings, ...further };
    const pool = database.pool('auth');
    const deps = await assemble({
      config,
      pool,
      redis: connection,
      facts: createFacts(connection, log),
      log,
      metrics,
      clock,
    });
    const server = await listen(createApp({ deps, metrics, verifier: testVerifier('auth') }));
    closes.push(() => server.close());
    const as: Instance['as'] = (about, headers = {}) =>
      client(server.url, { 'x-forwarded-for': '192.0.2.7', ...identityHeaders('auth', about), ...headers });
    return {
      url: server.url,
      deps,
      metrics: () => metrics.registry.metrics(),
      anonymous: as({ kind: 'anonymous' }),
      as,
    };
  }

  const first = await instance({});
  const admin = database.pool('admin');
  const rows = async <T>(text: string, values: unknown[] = []) => (await admin.pg.query(text, values)).rows as T[];
  return {
    ...first,
    database,
    clock,
    redis,
    rows,
    another: (further = {}) => instance(further),
    async user({ email = `${randomUUID()}@users.test`, role = 'user', status = 'active', hash } = {}) {
      const id = randomUUID();
      const stored = hash === undefined ? await first.deps.hasher.hash(PASSWORD) : hash;
      await rows(
        `insert into auth.users (id, email, name, role, status, password_hash, created_at, updated_at)
         values ($1, $2, 'Uma User', $3, $4, $5, now(), now())`,
        [id, email, role, status, stored],
      );
      return { id, email, password: PASSWORD };
    },
    events: (type) => rows('select data, outcome, actor from events.outbox where type = $1 order by position', [type]),
    async close() {
      for (const close of closes.reverse()) await close();
      await redis.close();
      await database.close();
    },
  };
}

/** What an access token says. */
export function claimsOf(token: string) {
  return jwt.decode(token, { complete: true }) as unknown as {
    header: { alg: string; typ: string; kid: string };
    payload: {
      sub: string;
      sid: string;
      role: string;
      iss: string;
      aud: string;
      iat: number;
      exp: number;
      jti: string;
    };
  };
}

/** The session that a sign-in opened, as the gateway would present it. */
export function sessionOf(instance: Instance, answer: Answer): Client & { session_id: string; user_id: string } {
  const { payload } = claimsOf(answer.body.access_token);
  const role = payload.role as 'user';
  return {
    ...instance.as({ kind: 'user', sub: payload.sub, sid: payload.sid, role }),
    session_id: payload.sid,
    user_id: payload.sub,
  };
}

/** A user of that role who has just signed in. */
export async function signedIn(auth: AuthUnderTest, role = 'user') {
  const user = await auth.user({ role });
  return { user, ...(await signedInAgain(auth, user)) };
}

/** A further session of a user. */
export async function signedInAgain(auth: AuthUnderTest, { email }: { email: string }) {
  const answer = await auth.anonymous.post('/api/auth/login', { email, password: PASSWORD });
  return { session: sessionOf(auth, answer), token: answer.body.refresh_token as string };
}

/** Whether the gateway would be told that a session lives. */
export async function isActive(auth: AuthUnderTest, sessionId: string): Promise<boolean> {
  const { status, body } = await auth.as({ kind: 'service', sub: 'gateway' }).get(`/internal/sessions/${sessionId}`);
  return status === 200 && body.active;
}
