import type { Pool } from '@gatehouse/kit/db';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Sealing } from './seal.ts';
import { countPending } from './store.ts';

const OUTCOMES = ['success', 'failure', 'denied'];
// audit-freshness promises 5 seconds.
const LAG_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600];

/** The metrics of sealing (operations: audit_*). */
export function sealingMetrics(metrics: Metrics, pool: Pool) {
  const events = metrics.counter({
    name: 'audit_events_total',
    help: 'Events sealed into the log, by the outcome they tell of.',
    labels: { outcome: OUTCOMES },
  });
  const lag = metrics.histogram({
    name: 'audit_write_lag_seconds',
    help: 'Time from an event to its being sealed.',
    buckets: LAG_BUCKETS,
  });
  const broken = metrics.counter({
    name: 'audit_chain_verify_failures_total',
    help: 'Times that the log did not end where its head says.',
  });
  metrics.gauge({
    name: 'audit_outbox_pending',
    help: 'Events that wait to be sealed.',
    async collect(gauge) {
      // While the database is away the last known number stands, and the scrape goes on.
      await countPending(pool).then(
        (count) => gauge.set(count),
        () => undefined,
      );
    },
  });
  return {
    sealed(sealed: Sealing['sealed']): void {
      for (const { outcome, lagSeconds } of sealed) {
        events.inc({ outcome });
        lag.observe(lagSeconds);
      }
    },
    brokenChain: () => broken.inc(),
  };
}
