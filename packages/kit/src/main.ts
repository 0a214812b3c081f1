import type { RequestListener, Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { z } from 'zod';
import { type Clock, systemClock } from './clock.ts';
import { ConfigError, loadConfig, type processSettings } from './config.ts';
import { createLifecycle, type Lifecycle, within } from './lifecycle.ts';
import { createLogger, errorFields, type Logger } from './log.ts';
import { droppedLines } from './log-output.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createServer } from './node-http.ts';
import { type Check, createOps } from './ops.ts';
import { release } from './release.ts';
import { captureError, stopSentry } from './sentry.ts';

type ProcessConfig = z.output<z.ZodObject<typeof processSettings>>;

/** What a process gets at start, and where it registers what operators see and what a stop must end. */
export interface Process<C> {
  name: string;
  config: C;
  log: Logger;
  metrics: Metrics;
  lifecycle: Lifecycle;
  clock: Clock;
  /** Adds to `/readyz` and `/health`; an optional one only degrades. */
  check(name: string, check: Check, options?: { optional?: boolean }): void;
  /** Listens on the process's own port, and closes gracefully with it. */
  listen(handler: RequestListener | Server, port: number): Promise<Server>;
}

const EX_CONFIG = 78;
const HARD_EXIT_MS = 28_000;
const DRAIN_MS = 25_000;
// Within this time a connection under load has had its last answer.
const LINGER_MS = 1_000;
// Longer than nginx's and undici's idle times, so that the side that sends never meets a socket being closed.
const KEEP_ALIVE_MS = 65_000;

/**
 * Runs a process: settings, logger, metrics, the operators' listener, then `start`, which connects and listens. SIGTERM
 * and SIGINT stop it in order: exit 0 when all ended in time. Wrong settings exit 78, a failed start or a bug exits 1.
 */
export async function runMain<S extends z.ZodObject<typeof processSettings>>(
  name: string,
  schema: S,
  opsPort: (config: z.output<S>) => number,
  start: (process: Process<z.output<S>>) => Promise<void>,
): Promise<void> {
  const config = configOrExit(schema);
  const common = config as ProcessConfig;
  const log = createLogger({
    service: name,
    version: release.version,
    environment: common.ENVIRONMENT,
    level: common.LOG_LEVEL,
    dir: common.LOG_DIR,
  });
  const metrics = createMetrics(release);
  countDroppedLines(metrics);
  const lifecycle = createLifecycle({ log, graceMs: common.SHUTDOWN_GRACE_MS });
  const checks: Record<string, Check> = {};
  const optional: string[] = [];
  exitOn(lifecycle, log, metrics);

  const ops = createOps({
    registry: metrics.registry,
    checks,
    optional,
    stopping: () => lifecycle.stopping || !listening,
    service: name,
    version: release.version,
    startedAt: new Date(),
  });
  let listening = false;
  const listen = (handler: RequestListener | Server, port: number) =>
    listenGracefully(handler, port, common.BIND_ADDRESS, lifecycle);

  try {
    // Given by whoever knows the networks, as docker-compose.production.yml does: people have nothing to set there.
    await bind(ops, opsPort(config), process.env['OPS_BIND_ADDRESS'] || common.BIND_ADDRESS);
    lifecycle.onStop('reports', 'operators listener', () => closeNow(ops));
    lifecycle.onStop('reports', 'sentry', stopSentry);
    await start({
      name,
      config,
      log,
      metrics,
      lifecycle,
      clock: systemClock,
      check(checkName, check, options = {}) {
        checks[checkName] = check;
        if (options.optional) optional.push(checkName);
      },
      listen,
    });
    listening = true;
    const mode =
      common.ENVIRONMENT === 'production' ? 'Gatehouse running in PRODUCTION MODE with persistent DB' : 'listening';
    log.info(mode, { ops_port: opsPort(config), revision: release.revision });
  } catch (error) {
    log.error(`cannot start: ${(error as Error).message}`, errorFields(error));
    await lifecycle.stop('failed start');
    process.exit(error instanceof ConfigError ? EX_CONFIG : 1);
  }
}

function countDroppedLines(metrics: Metrics): void {
  let counted = 0;
  metrics.counter({
    name: 'log_lines_dropped_total',
    help: 'Lines of the log that could not be written: no room on the disk, or nobody who reads.',
    collect(counter) {
      const now = droppedLines();
      counter.inc(now - counted);
      counted = now;
    },
  });
}

function configOrExit<S extends z.ZodObject>(schema: S): z.output<S> {
  try {
    return loadConfig(schema, process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(EX_CONFIG);
  }
}

function exitOn(lifecycle: Lifecycle, log: Logger, metrics: Metrics): void {
  const unhandled = metrics.counter({
    name: 'app_unhandled_errors_total',
    help: 'Errors that nobody caught; the process restarts.',
    labels: { kind: ['exception', 'rejection'] },
  });
  const leave = async (reason: string, code: number) => {
    const hardExit = setTimeout(() => process.exit(1), HARD_EXIT_MS);
    hardExit.unref();
    const clean = await lifecycle.stop(reason);
    process.exit(clean ? code : 1);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void leave(signal, 0));
  const crash = (kind: string) => (error: unknown) => {
    unhandled.inc({ kind });
    log.error('unhandled error', { ...errorFields(error), reason: kind });
    captureError(error, kind);
    void leave(`unhandled ${kind}`, 1);
  };
  process.on('uncaughtException', crash('exception'));
  process.on('unhandledRejection', crash('rejection'));
}

async function listenGracefully(
  handler: RequestListener | Server,
  port: number,
  host: string,
  lifecycle: Lifecycle,
): Promise<Server> {
  const server = typeof handler === 'function' ? createServer({ maxHeaderSize: 16 * 1024 }, handler) : handler;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = 10_000;
  if (typeof handler === 'function') server.requestTimeout = 30_000;
  server.prependListener('request', (_req, res) => {
    if (!server.listening) res.shouldKeepAlive = false;
  });
  await bind(server, port, host);
  lifecycle.onStop('listeners', `port ${port}`, () => drain(server), DRAIN_MS + 1000);
  return server;
}

/**
 * Takes no new connection, ends each that there is with its next answer, closes those that had none, and lets requests
 * finish; after 25 s it closes what is left. Connections are kept until the listener is closed: whoever had to open new
 * ones before would have some of them waiting in the kernel just then, and lost.
 */
async function drain(server: Server): Promise<void> {
  // Without what an HTTP server adds to it: that would close idle connections at once, also under a request on its way.
  const closed = new Promise<void>((resolve) => {
    NetServer.prototype.close.call(server, () => resolve());
  });
  setTimeout(() => server.closeIdleConnections(), LINGER_MS).unref();
  await within(closed, DRAIN_MS).catch(() => server.closeAllConnections());
}

function closeNow(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

// After a restart all clients connect at once; the kernel's own limit (somaxconn) still counts.
const BACKLOG = 4_096;

function bind(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new Error(`port ${port} is in use`) : error);
    server.once('error', fail);
    server.listen({ port, host, backlog: BACKLOG }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}
