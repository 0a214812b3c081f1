import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Every value that a label may take, by label: what is not declared cannot grow. An empty list: values come later. */
type Labels = Record<string, readonly string[]>;

interface MetricOptions {
  name: string;
  help: string;
  labels?: Labels;
}

export interface Metrics {
  registry: Registry;
  counter(options: MetricOptions & { collect?: (counter: Counter) => void }): Counter;
  gauge(options: MetricOptions & { collect?: (gauge: Gauge) => void | Promise<void> }): Gauge;
  histogram(options: MetricOptions & { buckets: number[] }): Histogram;
}

/**
 * The metrics of one process. Counters and histograms start at 0 for every declared combination of labels:
 * one that is born at its first event is invisible to `rate()`.
 */
export function createMetrics({ version, revision }: { version: string; revision: string }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics: Metrics = {
    registry,
    counter({ name, help, labels = {}, collect }) {
      const counter = new Counter({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        ...(collect
          ? {
              collect(this: Counter) {
                collect(this);
              },
            }
          : {}),
      });
      for (const combination of combinations(labels)) counter.inc(combination, 0);
      return counter;
    },
    gauge({ name, help, labels = {}, collect }) {
      return new Gauge({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        ...(collect
          ? {
              collect(this: Gauge) {
                return collect(this);
              },
            }
          : {}),
      });
    },
    histogram({ name, help, labels = {}, buckets }) {
      const histogram = new Histogram({ name, help, labelNames: Object.keys(labels), buckets, registers: [registry] });
      for (const combination of combinations(labels)) histogram.zero(combination);
      return histogram;
    },
  };
  metrics
    .gauge({ name: 'build_info', help: 'The release that runs.', labels: { version: [], revision: [] } })
    .set({ version, revision }, 1);
  return metrics;
}

function combinations(labels: Labels): Record<string, string>[] {
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (sofar, [label, values]) => sofar.flatMap((one) => values.map((value) => ({ ...one, [label]: value }))),
    [{}],
  );
}
