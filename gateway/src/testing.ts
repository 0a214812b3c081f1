import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { connect, type Server as NetServer, type Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { apiKeyChecksum } from '@gatehouse/contracts/api-keys';
import { type ApiKeyFact, guardKey, type MemberFact, OrgFact, type SessionFact } from '@gatehouse/contracts/facts';
import {
  ACCESS_TOKEN_TYPE,
  type AuthenticationMethod,
  IDENTITY_HEADER,
  type Identity,
} from '@gatehouse/contracts/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { loadConfig } from '@gatehouse/kit/config';
import { base62, hmac, sha256 } from '@gatehouse/kit/crypto';
import { createVerifier, publicJwk } from '@gatehouse/kit/identity';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { openRedis } from '@gatehouse/kit/redis';
import { testDatabase } from '@gatehouse/testkit/database';
import { identityPrivateKey, publicKeys } from '@gatehouse/testkit/identities';
import { testRedis } from '@gatehouse/testkit/test-redis';
import { createGateway } from './app.ts';
import { Config } from './config.ts';

export const PUBLIC_URL = 'https://gatehouse.test';

/** What a server behind the gateway received, byte for byte where it matters. */
export interface Captured {
  method: string;
  url: string;
  rawHeaders: string[];
  headers: IncomingMessage['headers'];
  body: string;
}

export interface CaptureServer {
  url: string;
  port: number;
  server: Server;
  requests: Captured[];
  /** Takes over answering; the default echoes the identity. */
  answer: RequestListener;
  connections(): number;
  close(): Promise<void>;
}

/** A real HTTP server that keeps what it is sent; `before` may answer instead, unseen. */
export async function captureServer(
  before: (req: IncomingMessage, res: ServerResponse) => boolean = () => false,
): Promise<CaptureServer> {
  const requests: Captured[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
    if (!before(req, res)) capture.answer(req, res);
  });
  function echo(req: IncomingMessage, res: ServerResponse): void {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const { method = '', url = '', rawHeaders, headers } = req;
      requests.push({ method, url, rawHeaders, headers, body });
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ method, url, body }));
    });
  }
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await listening(server);
  const capture: CaptureServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    requests,
    answer: echo,
    connections: () => sockets.size,
    close: () => closed(server),
  };
  return capture;
}

export function listening(server: NetServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Stands in for auth and org: what they would say, changeable from one request to the next. */
export interface Owned {
  sessions: Map<string, SessionFact>;
  orgs: Map<string, OrgFact>;
  members: Map<string, MemberFact>;
  keys: Map<string, ApiKeyFact>;
  jwks: object[];
  jwksFetches: number;
  /** Every path that was asked for; of a batch, the paths that ask for the same singly. */
  asked: string[];
  /** How many questions each batch had. */
  batches: number[];
  /** Answers 500 to everything while set. */
  broken: boolean;
  /** Knows no batches, as the release before. */
  older: boolean;
}

function ownersAnswer(owned: Owned, verify: (token: string | undefined) => Identity): RequestListener {
  return (req, res) => {
    const url = req.url ?? '';
    if (req.method !== 'POST') owned.asked.push(url);
    const send = (status: number, body?: unknown) =>
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
    if (owned.broken) return send(500);
    if (verify(req.headers[IDENTITY_HEADER] as string).kind !== 'service') return send(404);
    if (req.method === 'POST') {
      if (owned.older) return send(404);
      return void json(req).then((question) => send(200, batchAnswer(owned, question as Batch)));
    }
    const [, , kind = '', a = '', b = ''] = url.split('/');
    if (kind === 'jwks') {
      owned.jwksFetches += 1;
      return send(200, { keys: owned.jwks });
    }
    if (kind === 'guard') return send(200, guardAnswer(owned, a, b));
    const fact = kind === 'sessions' ? owned.sessions.get(a) : owned.keys.get(a);
    return fact ? send(200, fact) : send(404);
  };
}

interface Batch {
  session_ids?: string[];
  pairs?: { org_id: string; user_id: string }[];
}

function batchAnswer(owned: Owned, { session_ids = [], pairs = [] }: Batch): object {
  const paths = [
    ...session_ids.map((id) => `/internal/sessions/${id}`),
    ...pairs.map(({ org_id, user_id }) => `/internal/guard/${org_id}/${user_id}`),
  ];
  owned.asked.push(...paths);
  owned.batches.push(paths.length);
  return {
    sessions: Object.fromEntries(session_ids.map((id) => [id, owned.sessions.get(id) ?? null])),
    guards: Object.fromEntries(
      pairs.map(({ org_id, user_id }) => [guardKey(org_id, user_id), guardAnswer(owned, org_id, user_id)]),
    ),
  };
}

const guardAnswer = (owned: Owned, orgId: string, userId: string): object => ({
  org: owned.orgs.get(orgId) ?? null,
  member: owned.members.get(`${orgId} ${userId}`) ?? null,
});

const accessPair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const accessKey = accessPair.privateKey;
export const accessPublicPem = accessPair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
export const accessJwk = publicJwk(accessPair.publicKey);

interface TokenOptions {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  key?: KeyObject;
  /** Signs with HMAC instead, keyed with this text. */
  hmacKey?: string;
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An access token as auth signs it, with anything about it changed. By hand: a library refuses to sign nonsense. */
export function signToken(
  subject: { user_id: string; session_id: string },
  { claims = {}, header = {}, key = accessKey, hmacKey }: TokenOptions = {},
): string {
  const now = Math.floor(Date.now() / 1000);
  const head = { alg: hmacKey ? 'HS256' : 'ES256', typ: ACCESS_TOKEN_TYPE, kid: accessJwk.kid, ...header };
  const payload = {
    iss: PUBLIC_URL,
    aud: PUBLIC_URL,
    sub: subject.user_id,
    sid: subject.session_id,
    role: 'user',
    iat: now,
    exp: now + 900,
    jti: randomUUID(),
    ...claims,
  };
  const text = `${part(head)}.${part(payload)}`;
  const signature = hmacKey
    ? hmac(hmacKey, text)
    : sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** A well-formed key that nobody issued yet. */
export function newKey(): string {
  const text = `ezak_dev_${base62(randomBytes(32))}`;
  return text + apiKeyChecksum(text);
}

const DEFAULTS = {
  ENVIRONMENT: 'staging',
  REDIS_PASSWORD: randomBytes(24).toString('base64url'),
  PUBLIC_URL,
  BIND_ADDRESS: '127.0.0.1',
  LOG_LEVEL: 'error',
  SHUTDOWN_GRACE_MS: '0',
  SENTRY_TRACES_SAMPLE_RATE: '0',
  SENTRY_PROFILES_SAMPLE_RATE: '0',
  DATABASE_HOST: '127.0.0.1',
  DATABASE_PORT: '1',
  DATABASE_NAME: 'x',
  DATABASE_TLS: 'off',
  GATEWAY_PORT: '0',
  GATEWAY_OPS_PORT: '0',
  GATEWAY_POOL_MAX: '4',
  GATEWAY_DATABASE_PASSWORD: 'unused-here-4f8a9b2c7d6e1f0a3b5c',
  UPSTREAM_TIMEOUT_MS: '2000',
  UPSTREAM_IDLE_TIMEOUT_MS: '3000',
  UPSTREAM_CONNECTIONS: '64',
  UPGRADES_MAX: '50',
  MAX_BODY_BYTES: '1048576',
  TRUSTED_PROXIES: '127.0.0.1',
  CORS_ORIGINS: 'https://app.example.test',
  LIMIT_ADDRESS_MINUTE: '100000',
  LIMIT_ADDRESS_HOUR: '1000000',
  LIMIT_ADDRESS_DAY: '1000000',
  LIMIT_USER_MINUTE: '100000',
  LIMIT_USER_HOUR: '1000000',
  LIMIT_USER_DAY: '1000000',
  LIMIT_KEY_MINUTE: '100000',
  LIMIT_KEY_HOUR: '1000000',
  LIMIT_KEY_DAY: '1000000',
  LIMIT_PLAN_FACTORS: 'free=1,pro=5,enterprise=20',
};

export interface GatewayOptions {
  settings?: Record<string, string>;
  clock?: Clock;
  /** Another Redis than the test's own. */
  redisUrl?: string;
  owned?: Owned;
}

/** Parts that several gateways of one test share: database, Redis, owners, services, an upstream. */
export async function testHouse() {
  const [database, redis] = await Promise.all([testDatabase({ units: ['platform'] }), testRedis()]);
  const owned: Owned = {
    sessions: new Map(),
    orgs: new Map(),
    members: new Map(),
    keys: new Map(),
    jwks: [accessJwk],
    jwksFetches: 0,
    asked: [],
    broken: false,
    batches: [],
    older: false,
  };
  const forAuth = createVerifier(publicKeys, 'auth');
  const forOrg = createVerifier(publicKeys, 'org');
  const authOwner = ownersAnswer(owned, forAuth);
  const orgOwner = ownersAnswer(owned, forOrg);
  const service = (owner?: RequestListener) =>
    captureServer((req, res) => {
      if (!owner || !req.url?.startsWith('/internal/')) return false;
      owner(req, res);
      return true;
    });
  const [auth, org, audit, worker, upstream] = await Promise.all([
    service(authOwner),
    service(orgOwner),
    service(),
    service(),
    captureServer(),
  ]);
  const gateways: { stop(): Promise<void> }[] = [];

  async function start({ settings = {}, clock = () => new Date(), redisUrl = redis.url }: GatewayOptions = {}) {
    const config = loadConfig(Config, {
      ...DEFAULTS,
      REDIS_URL: redisUrl,
      IDENTITY_PRIVATE_KEY: identityPrivateKey,
      AUTH_URL: auth.url,
      ORG_URL: org.url,
      AUDIT_URL: audit.url,
      WORKER_URL: worker.url,
      UPSTREAMS: `example=${upstream.url}`,
      ...settings,
    });
    const log = createLogger({ service: 'gateway', version: '0', environment: 'test', level: config.LOG_LEVEL });
    log.silent = true;
    const metrics = createMetrics({ version: '0', revision: 'test' });
    const connection = openRedis({ url: redisUrl, log, name: 'gateway-test' });
    if (connection.status !== 'ready') await new Promise((resolve) => connection.once('ready', resolve));
    const gateway = createGateway({
      config,
      clock,
      log,
      metrics,
      redis: connection,
      db: database.pool('gateway'),
      version: '0.0.0',
      openapiFile: new URL('../test-openapi.json', import.meta.url).pathname,
    });
    const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 60_000 });
    server.keepAliveTimeout = 65_000;
    gateway.attach(server);
    const port = await listening(server);
    const started = {
      url: `http://127.0.0.1:${port}`,
      port,
      metrics: () => metrics.registry.metrics(),
      redis: connection,
      async stop() {
        if (!server.listening) return;
        gateway.closeUpgrades();
        await closed(server);
        await gateway.close();
        connection.disconnect();
      },
    };
    gateways.push(started);
    return started;
  }

  return {
    owned,
    auth,
    org,
    audit,
    worker,
    upstream,
    redis,
    database,
    start,
    /** The events of refused requests, oldest first. */
    async events(): Promise<
      {
        org_id: string | null;
        actor: Record<string, string>;
        data: Record<string, unknown>;
        request_id: string;
        address: string;
      }[]
    > {
      const { rows } = await database.pool('admin').pg.query('select * from events.outbox order by position');
      return rows;
    },
    /** A user with a live session; with an organization, a member of it. */
    user({
      org_id,
      role = 'viewer',
      platform = 'user',
      second_factor_required = false,
      amr = ['pwd'],
      auth_time = Math.floor(Date.now() / 1000),
    }: {
      org_id?: string;
      role?: MemberFact['role'];
      platform?: SessionFact['role'];
      second_factor_required?: boolean;
      amr?: AuthenticationMethod[];
      auth_time?: number;
    } = {}) {
      const user = { user_id: randomUUID(), session_id: randomUUID() };
      owned.sessions.set(user.session_id, { ...user, active: true, role: platform, second_factor_required });
      if (org_id) owned.members.set(`${org_id} ${user.user_id}`, { role });
      const token = signToken(user, { claims: { amr, auth_time } });
      return { ...user, token, headers: { authorization: `Bearer ${token}` } };
    },
    organization(fact: Partial<OrgFact> = {}): string {
      const id = fact.id ?? randomUUID();
      owned.orgs.set(id, OrgFact.parse({ status: 'active', plan: 'free', ...fact, id }));
      return id;
    },
    apiKey(org_id: string, fact: Partial<ApiKeyFact> = {}) {
      const key = newKey();
      const hash = sha256(key).toString('hex');
      const made: ApiKeyFact = {
        key_id: randomUUID(),
        org_id,
        active: true,
        scopes: ['proxy', 'standalone', 'telemetry'],
        rules: [],
        addresses: [],
        expires_at: null,
        ...fact,
      };
      owned.keys.set(hash, made);
      return { key, hash, fact: made, headers: { 'x-api-key': key } };
    },
    async close() {
      await Promise.all(gateways.map((gateway) => gateway.stop()));
      await Promise.all([auth, org, audit, worker, upstream].map((server) => server.close()));
      await Promise.all([database.close(), redis.close()]);
    },
  };
}

export type House = Awaited<ReturnType<typeof testHouse>>;

/** The identity that a server behind the gateway got, verified for its audience. */
export function identityIn(captured: Captured | undefined, audience: string): Identity {
  return createVerifier(publicKeys, audience)(captured?.headers[IDENTITY_HEADER] as string | undefined);
}

/** Sends bytes as they are and collects what comes back until the other side closes or `ms` pass. */
export function rawRequest(port: number, text: string, ms = 1_500): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    let received = '';
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? undefined : reject(error)));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
  });
}
