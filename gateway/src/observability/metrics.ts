import { HTTP_BUCKETS, type Metrics } from '@gatehouse/kit/metrics';
import type { Counter, Histogram } from 'prom-client';
import { TOKEN_FAULTS, type TokenFault } from '../credentials/access-tokens.ts';
import { DECISION_REASONS, type DecisionReason } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import type { Target } from '../forward/targets.ts';
import type { PolicyName } from '../quota/meters.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);
const methodLabel = (method: string) => (METHODS.has(method) ? method : '_OTHER');

interface Sources {
  metrics: Metrics;
  targets: () => Iterable<Target>;
  jwksAgeSeconds: () => number;
  openSockets: () => number;
}

/** The gateway's metrics. Children are bound once for a combination of labels: no lookup by labels per request. */
export function createGatewayMetrics({ metrics, targets, jwksAgeSeconds, openSockets }: Sources) {
  const requests = metrics.counter({
    name: 'http_requests_total',
    help: 'Requests answered.',
    labels: { method: [], route: [], status: [] },
  });
  const durations = metrics.histogram({
    name: 'http_request_duration_seconds',
    help: 'From the request head to the end of the answer.',
    labels: { method: [], route: [], status: [] },
    buckets: HTTP_BUCKETS,
  });
  const upstreamDurations = metrics.histogram({
    name: 'upstream_request_duration_seconds',
    help: 'From the dispatch to the end of the answer; status is empty where there was none.',
    labels: { server_address: [], method: [], status: [], error_type: [] },
    buckets: HTTP_BUCKETS,
  });
  const limited = metrics.counter({
    name: 'gateway_rate_limited_total',
    help: 'Requests refused by a quota.',
    labels: { policy: ['address', 'user', 'key'] satisfies PolicyName[] },
  });
  const decisions = metrics.counter({
    name: 'authz_decisions_total',
    help: 'Decisions about requests that name or need somebody.',
    labels: { decision: [], reason: [] },
  });
  for (const reason of DECISION_REASONS) decisions.inc({ decision: reason === 'ok' ? 'allow' : 'deny', reason }, 0);
  const tokenFaults = metrics.counter({
    name: 'auth_token_verify_failures_total',
    help: 'Access tokens refused, by what is wrong with them.',
    labels: { reason: TOKEN_FAULTS },
  });
  const dropped = metrics.counter({
    name: 'audit_dropped_total',
    help: 'Events of refused requests that could not be kept until the database took them.',
  });
  let inFlight = 0;
  metrics.gauge({
    name: 'http_requests_in_flight',
    help: 'Requests being served.',
    collect: (gauge) => gauge.set(inFlight),
  });
  metrics.gauge({
    name: 'gateway_open_upgrades',
    help: 'Upgraded connections (WebSocket) that are open.',
    collect: (gauge) => gauge.set(openSockets()),
  });
  metrics.gauge({
    name: 'gateway_circuit_open',
    help: '1 while requests are kept from the upstream.',
    labels: { upstream: [] },
    collect(gauge) {
      for (const { name, circuit } of targets()) gauge.set({ upstream: name }, circuit.open ? 1 : 0);
    },
  });
  metrics.gauge({
    name: 'gateway_jwks_age_seconds',
    help: 'Since the access-token keys were last fetched; -1 before.',
    collect: (gauge) => gauge.set(jwksAgeSeconds()),
  });

  const served = new Map<string, Served>();
  const upstreamServed = new Map<string, (seconds: number) => void>();
  const allowed = decisions.labels({ decision: 'allow', reason: 'ok' });

  function childOf(method: string, route: string, status: number): Served {
    const id = `${method} ${status} ${route}`;
    let child = served.get(id);
    if (!child) {
      const labels = { method: methodLabel(method), route, status: String(status) };
      child = bind(requests, durations, labels);
      // Unknown methods come from clients; they are all bound to one series, and not kept by name.
      if (METHODS.has(method)) served.set(id, child);
    }
    return child;
  }

  return {
    started: () => {
      inFlight += 1;
    },
    finished({ method, template, status, decision }: Exchange, seconds: number): void {
      inFlight -= 1;
      const child = childOf(method, template, status);
      child.count();
      child.observe(seconds);
      if (decision === 'ok') allowed.inc();
      else if (decision !== undefined) decisions.inc({ decision: 'deny', reason: decision satisfies DecisionReason });
    },
    observeUpstream(target: Target, method: string, outcome: number | string, seconds: number): void {
      const id = `${target.name} ${method} ${outcome}`;
      let observe = upstreamServed.get(id);
      if (!observe) {
        const failed = typeof outcome === 'string';
        const labels = {
          server_address: target.name,
          method: methodLabel(method),
          status: failed ? '' : String(outcome),
          error_type: failed ? outcome : '',
        };
        observe = upstreamDurations.labels(labels).observe;
        upstreamServed.set(id, observe);
      }
      observe(seconds);
    },
    limited: (policy: PolicyName) => limited.inc({ policy }),
    tokenFault: (reason: TokenFault) => tokenFaults.inc({ reason }),
    dropped: (count: number) => dropped.inc(count),
  };
}

export type GatewayMetrics = ReturnType<typeof createGatewayMetrics>;

interface Served {
  count(): void;
  observe(seconds: number): void;
}

function bind(requests: Counter, durations: Histogram, labels: Record<string, string>): Served {
  const counter = requests.labels(labels);
  return { count: () => counter.inc(), observe: durations.labels(labels).observe };
}
