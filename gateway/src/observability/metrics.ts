import { durationMetric, httpMetrics, methodLabel } from '@gatehouse/kit/durations';
import type { Metrics } from '@gatehouse/kit/metrics';
import { TOKEN_FAULTS, type TokenFault } from '../credentials/access-tokens.ts';
import { DECISION_REASONS, type DecisionReason } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import type { Target } from '../forward/targets.ts';
import type { PolicyName } from '../quota/meters.ts';

interface Sources {
  metrics: Metrics;
  targets: () => Iterable<Target>;
  jwksAgeSeconds: () => number;
  openSockets: () => number;
}

/** The gateway's metrics. Children are bound once for a combination of labels: no lookup by labels per request. */
export function createGatewayMetrics({ metrics, targets, jwksAgeSeconds, openSockets }: Sources) {
  const requests = httpMetrics(metrics);
  const upstreamChild = durationMetric(metrics, {
    name: 'upstream_request_duration_seconds',
    help: 'From the dispatch to the end of the answer; status is empty where there was none.',
  });
  const limited = metrics.counter({
    name: 'gateway_rate_limited_total',
    help: 'Requests refused by a quota.',
    labels: { policy: ['address', 'user', 'key', 'org'] satisfies PolicyName[] },
  });
  const decisions = metrics.counter({
    name: 'authz_decisions_total',
    help: 'Decisions about requests that name or need somebody.',
    labels: { decision: [], reason: [] },
    // Nearly every request is allowed: those are counted by hand and told when somebody asks.
    collect(counter) {
      counter.inc({ decision: 'allow', reason: 'ok' }, allowed);
      allowed = 0;
    },
  });
  let allowed = 0;
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

  const upstreamServed = new Map<string, (seconds: number) => void>();

  return {
    started: requests.started,
    finished({ method, template, status, decision }: Exchange, seconds: number): void {
      requests.finished(method, template, status, seconds);
      if (decision === 'ok') allowed += 1;
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
        observe = upstreamChild(labels);
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
