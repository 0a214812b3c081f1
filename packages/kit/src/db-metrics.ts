import type pg from 'pg';
import type { Counter, Histogram, Registry } from 'prom-client';
import type { Metrics } from './metrics.ts';
import { OPERATIONS, type Operation } from './sql.ts';

export interface PoolMetrics {
  waited(seconds: number): void;
  timedOut(): void;
  queried(operation: Operation, seconds: number): void;
}

interface Shared {
  pools: Map<string, pg.Pool>;
  wait: Histogram;
  timeouts: Counter;
  query: Histogram;
}

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const shared = new WeakMap<Registry, Shared>();

/** Measures one pool. Pools of a process share the metrics and differ by the label `pool`. */
export function poolMetrics(metrics: Metrics, name: string, pool: pg.Pool): PoolMetrics {
  let all = shared.get(metrics.registry);
  if (!all) {
    all = register(metrics);
    shared.set(metrics.registry, all);
  }
  const { pools, wait, timeouts, query } = all;
  pools.set(name, pool);
  timeouts.inc({ pool: name }, 0);
  return {
    waited: (seconds) => wait.observe(seconds),
    timedOut: () => timeouts.inc({ pool: name }),
    queried: (operation, seconds) =>
      query.observe({ db_system_name: 'postgresql', db_operation_name: operation }, seconds),
  };
}

function register(metrics: Metrics): Shared {
  const pools = new Map<string, pg.Pool>();
  const gauge = (name: string, help: string, read: (pool: pg.Pool) => number): void => {
    metrics.gauge({
      name: `db_connections_${name}`,
      help,
      labels: { pool: [] },
      collect(self) {
        for (const [label, pool] of pools) self.set({ pool: label }, read(pool));
      },
    });
  };
  gauge('active', 'Connections in use.', (pool) => pool.totalCount - pool.idleCount);
  gauge('idle', 'Connections open and unused.', (pool) => pool.idleCount);
  gauge('max', 'Connections that the pool may open.', (pool) => pool.options.max);
  gauge('waiting', 'Requests that wait for a connection.', (pool) => pool.waitingCount);
  return {
    pools,
    wait: metrics.histogram({
      name: 'db_connection_wait_seconds',
      help: 'Time until a connection was free.',
      buckets: BUCKETS,
    }),
    timeouts: metrics.counter({
      name: 'db_connection_timeouts_total',
      help: 'Requests that got no connection in time.',
      labels: { pool: [] },
    }),
    query: metrics.histogram({
      name: 'db_query_duration_seconds',
      help: 'Time of one statement, network included.',
      labels: { db_system_name: ['postgresql'], db_operation_name: OPERATIONS },
      buckets: BUCKETS,
    }),
  };
}
