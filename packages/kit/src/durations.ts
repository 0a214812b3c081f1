import type { Metric, Registry } from 'prom-client';
import type { Metrics } from './metrics.ts';

/** Advice of the OpenTelemetry HTTP conventions; every latency objective must be one of these bounds. Seconds. */
export const HTTP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

interface Child {
  labels: Record<string, string>;
  /** By bound, each observation in the first that holds it; the last is +Inf. */
  counts: number[];
  count: number;
  sum: number;
}

interface DurationOptions {
  name: string;
  help: string;
  /** A counter of the same observations. */
  total?: { name: string; help: string };
}

export type Observe = (seconds: number) => void;

/**
 * A histogram of durations whose children are bound once for their labels: an observation is three additions.
 * prom-client's own hashes and validates the labels at each one, four times a request, a tenth of what a request costs.
 */
export function durationMetric({ registry }: Pick<Metrics, 'registry'>, { name, help, total }: DurationOptions) {
  const children: Child[] = [];
  register(registry, name, help, 'histogram', () => children.flatMap((child) => valuesOf(name, child)));
  if (total)
    register(registry, total.name, total.help, 'counter', () =>
      children.map(({ labels, count }) => ({ labels, value: count })),
    );
  return (labels: Record<string, string>): Observe => {
    const child: Child = { labels, counts: new Array(HTTP_BUCKETS.length + 1).fill(0), count: 0, sum: 0 };
    children.push(child);
    return (seconds) => {
      let index = 0;
      while (index < HTTP_BUCKETS.length && seconds > (HTTP_BUCKETS[index] as number)) index += 1;
      child.counts[index] = (child.counts[index] as number) + 1;
      child.count += 1;
      child.sum += seconds;
    };
  };
}

function valuesOf(name: string, { labels, counts, count, sum }: Child) {
  let cumulated = 0;
  const buckets = counts.map((inBucket, index) => {
    cumulated += inBucket;
    return { metricName: `${name}_bucket`, labels: { le: HTTP_BUCKETS[index] ?? '+Inf', ...labels }, value: cumulated };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function register(
  registry: Registry,
  name: string,
  help: string,
  type: 'histogram' | 'counter',
  values: () => { labels: Record<string, string | number>; value: number; metricName?: string }[],
): void {
  const metric = { name, help, type, get: async () => ({ name, help, type, aggregator: 'sum', values: values() }) };
  // The registry asks a metric for its values and for nothing else.
  registry.registerMetric(metric as unknown as Metric);
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

/** A method as metrics and logs name it: what a client made up is `_OTHER`. */
export function methodLabel(method: string): string {
  return METHODS.has(method) ? method : '_OTHER';
}

/** The metrics of the requests that a process serves, by method, route template and status. */
export function httpMetrics(metrics: Metrics) {
  const childOf = durationMetric(metrics, {
    name: 'http_request_duration_seconds',
    help: 'From the request head to the end of the answer.',
    total: { name: 'http_requests_total', help: 'Requests answered.' },
  });
  let inFlight = 0;
  metrics.gauge({
    name: 'http_requests_in_flight',
    help: 'Requests being served.',
    collect: (gauge) => gauge.set(inFlight),
  });
  const children = new Map<string, Observe>();
  return {
    started(): void {
      inFlight += 1;
    },
    finished(method: string, route: string, status: number, seconds: number): void {
      inFlight -= 1;
      const label = methodLabel(method);
      const id = `${label} ${status} ${route}`;
      let observe = children.get(id);
      if (!observe) {
        observe = childOf({ method: label, route, status: String(status) });
        children.set(id, observe);
      }
      observe(seconds);
    },
  };
}
