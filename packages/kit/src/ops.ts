import type { Server } from 'node:http';
import type { Registry } from 'prom-client';
import { within } from './lifecycle.ts';
import { createServer } from './node-http.ts';

/** A dependency's check: resolves when it works, rejects with what is wrong. */
export type Check = () => Promise<unknown>;

export interface OpsOptions {
  registry: Registry;
  checks: Record<string, Check>;
  /** Checks whose failure does not make the process unready: it goes on without, slower. */
  optional?: readonly string[];
  /** True while the process takes no new work. */
  stopping: () => boolean;
  service: string;
  version: string;
  startedAt: Date;
}

interface CheckResult {
  ok: boolean;
  ms: number;
  error?: string;
}

const CHECK_TIMEOUT_MS = 1_000;

/**
 * The listener for operators only, never routed by nginx: `/metrics` (Prometheus text), `/livez` (this process, no
 * dependency), `/readyz` (503 while a dependency fails or the process stops) and `/health` (the same in detail).
 */
export function createOps({
  registry,
  checks,
  optional = [],
  stopping,
  service,
  version,
  startedAt,
}: OpsOptions): Server {
  async function inspect() {
    const entries = Object.entries(checks).map(async ([name, check]) => [name, await run(check)] as const);
    const results = Object.fromEntries(await Promise.all(entries));
    const failing = Object.keys(results).filter((name) => !results[name]?.ok);
    const ready = !stopping() && failing.every((name) => optional.includes(name));
    const status = ready ? (failing.length === 0 ? 'healthy' : 'degraded') : stopping() ? 'stopping' : 'unhealthy';
    return { ready, failing, body: { status, service, version, started_at: startedAt, checks: results } };
  }

  return createServer(async (req, res) => {
    const send = (status: number, body: string, type = 'application/json') =>
      res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    try {
      switch (`${req.method} ${req.url}`) {
        case 'GET /metrics':
          return send(200, await registry.metrics(), registry.contentType);
        case 'GET /livez':
          return send(200, '{"status":"alive"}');
        case 'GET /readyz': {
          const { ready, failing } = await inspect();
          return send(ready ? 200 : 503, JSON.stringify({ ready, failing, stopping: stopping() }));
        }
        case 'GET /health': {
          const { ready, body } = await inspect();
          return send(ready ? 200 : 503, JSON.stringify(body));
        }
        default:
          return send(404, '{"error":"not found"}');
      }
    } catch (error) {
      return send(500, JSON.stringify({ error: String(error) }));
    }
  });
}

async function run(check: Check): Promise<CheckResult> {
  const start = performance.now();
  try {
    await within(Promise.resolve(check()), CHECK_TIMEOUT_MS);
    return { ok: true, ms: Math.round(performance.now() - start) };
  } catch (error) {
    return { ok: false, ms: Math.round(performance.now() - start), error: (error as Error).message };
  }
}
