import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '@gatehouse/kit/clock';
import type { Db } from '@gatehouse/kit/db';
import { createFacts } from '@gatehouse/kit/facts';
import { createSigner } from '@gatehouse/kit/identity';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Redis } from '@gatehouse/kit/redis';
import { type AccessEvents, createAccessEvents } from './access-events/access-events.ts';
import type { Config } from './config.ts';
import { createCors } from './cors/cors.ts';
import { createAccessTokens } from './credentials/access-tokens.ts';
import { createApiKeys } from './credentials/api-keys.ts';
import { createKeySet } from './credentials/jwks.ts';
import type { Exchange } from './exchange.ts';
import { createOwners } from './facts/owners.ts';
import { createRememberedFacts } from './facts/remembered.ts';
import { createTarget, type Target } from './forward/targets.ts';
import { createGuard } from './guard/guard.ts';
import { createHandler } from './handler.ts';
import { createIdentities } from './identity/identities.ts';
import { createAccessLines } from './observability/access-lines.ts';
import { createGatewayMetrics } from './observability/metrics.ts';
import { createOwnEndpoints } from './own/own.ts';
import { createAdmission, createOutgoingHeaders } from './pipeline.ts';
import { createCountExchange } from './quota/exchange.ts';
import { createQuota } from './quota/quota.ts';
import { createClientAddresses } from './requests/address.ts';
import { createHygiene } from './requests/hygiene.ts';
import { createUpgrades } from './upgrade/upgrades.ts';

export interface GatewayDeps {
  config: Config;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  redis: Redis;
  /** As the gateway's own role, which may insert into the outbox and nothing else. */
  db: Db;
  version: string;
  /** The generated API reference. */
  openapiFile: string;
}

export interface Gateway {
  handle(req: IncomingMessage, res: ServerResponse): void;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Attaches everything that a server can tell us of. */
  attach(server: Server): void;
  /** Ends open upgrades; the requests under way go on. */
  closeUpgrades(): void;
  /** Writes what is still to be written and closes the connections to services and upstreams. */
  close(): Promise<void>;
}

/** Builds the gateway from its parts. It never listens. */
export function createGateway(deps: GatewayDeps): Gateway {
  const { config, clock, log, redis, db, version } = deps;
  const nowSeconds = () => Math.floor(clock().getTime() / 1000);
  const signer = createSigner(config.IDENTITY_PRIVATE_KEY);
  const owners = createOwners({ signer, authUrl: config.AUTH_URL, orgUrl: config.ORG_URL });
  const keys = createKeySet({ fetch: owners.jwks, clock });
  const accessTokens = createAccessTokens({ keys, issuer: config.PUBLIC_URL, audience: config.PUBLIC_URL, clock });
  const facts = createRememberedFacts({ redis: createFacts(redis, log), owners });
  const exchange = createCountExchange({ redis, nowSeconds });
  const quota = createQuota({ ...quotaSettings(config), exchange, nowSeconds });
  const { services, upstreams } = createTargets(config);
  const allTargets = () => [...services.values(), ...upstreams.values()];

  let openUpgrades = () => 0;
  const metrics = createGatewayMetrics({
    metrics: deps.metrics,
    targets: allTargets,
    jwksAgeSeconds: keys.ageSeconds,
    openSockets: () => openUpgrades(),
  });
  const events: AccessEvents = createAccessEvents({ db, log, dropped: metrics.dropped });
  const writeLine = createAccessLines(log);

  const admission = createAdmission({
    accessTokens,
    apiKeys: createApiKeys(),
    guard: createGuard({ facts, clock }),
    quota,
    targets: services,
    upstreams,
    countTokenFault: metrics.tokenFault,
    countLimited: metrics.limited,
  });
  const publicUrl = new URL(config.PUBLIC_URL);
  const outgoing = createOutgoingHeaders({
    identities: createIdentities(signer),
    // Of the configured name only: a client's Host never reaches a service or an upstream.
    fixed: ['x-forwarded-proto', publicUrl.protocol.slice(0, -1), 'x-forwarded-host', publicUrl.host],
  });
  const finished = (done: Exchange): void => {
    const ms = performance.now() - done.startedAt;
    metrics.finished(done, ms / 1000);
    writeLine(done, ms);
  };
  const upgrades = createUpgrades({
    outgoing,
    quota,
    maxOpen: config.UPGRADES_MAX,
    timeoutMs: config.UPSTREAM_TIMEOUT_MS,
    stillAdmitted: admission.stillAdmitted,
    closed: finished,
  });
  openUpgrades = () => upgrades.count;

  const handler = createHandler({
    log,
    admission,
    outgoing,
    quota,
    upgrades,
    events,
    metrics,
    finished,
    hygiene: createHygiene({
      addresses: createClientAddresses(config.TRUSTED_PROXIES),
      cors: createCors({
        origins: config.CORS_ORIGINS,
        publicUrl: config.PUBLIC_URL,
        localhost: config.ENVIRONMENT === 'development',
      }),
      maxBodyBytes: config.MAX_BODY_BYTES,
    }),
    own: createOwnEndpoints({
      service: 'gatehouse',
      version,
      keys,
      identityJwk: signer.jwk,
      openapiFile: deps.openapiFile,
    }),
    services,
    upstreams,
    maxBodyBytes: config.MAX_BODY_BYTES,
    stallTimeoutMs: config.UPSTREAM_IDLE_TIMEOUT_MS,
  });

  return {
    ...handler,
    closeUpgrades: upgrades.close,
    async close() {
      handler.close();
      upgrades.close();
      await Promise.all([events.close(), exchange.close(), owners.close()]);
      await Promise.all(allTargets().flatMap(({ origins }) => origins.map(({ pool }) => pool.destroy())));
    },
  };
}

function quotaSettings(config: Config) {
  return {
    limits: {
      address: [config.LIMIT_ADDRESS_MINUTE, config.LIMIT_ADDRESS_HOUR, config.LIMIT_ADDRESS_DAY],
      user: [config.LIMIT_USER_MINUTE, config.LIMIT_USER_HOUR, config.LIMIT_USER_DAY],
      key: [config.LIMIT_KEY_MINUTE, config.LIMIT_KEY_HOUR, config.LIMIT_KEY_DAY],
    },
    planFactors: config.LIMIT_PLAN_FACTORS,
  } as const;
}

function createTargets(config: Config): { services: Map<string, Target>; upstreams: Map<string, Target> } {
  const settings = {
    timeoutMs: config.UPSTREAM_TIMEOUT_MS,
    idleTimeoutMs: config.UPSTREAM_IDLE_TIMEOUT_MS,
    connections: config.UPSTREAM_CONNECTIONS,
  };
  const service = (name: string, url: string) =>
    [name, createTarget({ name, service: true, urls: [url], ...settings })] as const;
  const services = new Map([
    service('auth', config.AUTH_URL),
    service('org', config.ORG_URL),
    service('audit', config.AUDIT_URL),
    service('worker', config.WORKER_URL),
  ]);
  const upstreams = new Map(
    Object.entries(config.UPSTREAMS).map(([name, urls]) => [
      name,
      createTarget({ name, service: false, urls, ...settings }),
    ]),
  );
  return { services, upstreams };
}
