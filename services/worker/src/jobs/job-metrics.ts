import { JOBS, Mail } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import type { Pool } from '@gatehouse/kit/db';
import type { Metrics } from '@gatehouse/kit/metrics';
import { type Backlog, listBacklogs } from './store.ts';

export const QUEUES = ['mail', 'maintenance'] as const;
export type QueueName = (typeof QUEUES)[number];

const TASKS = [...Object.keys(JOBS), 'maintenance.nightly'];
/** `unknown`: whether it had its effect cannot be told. `withheld`: a mail to an address that cannot exist. */
const OUTCOMES = ['success', 'failure', 'expired', 'unknown', 'withheld'];
const TEMPLATES = Mail.options.map(({ shape }) => shape.template.value);
const BUCKETS = [0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 3600];

interface Task {
  queue: string;
  name: string;
  run_after: Date;
}

export type JobMetrics = ReturnType<typeof jobMetrics>;

/** The metrics of jobs (operations: job_*). What is owed is read from Postgres, so that it shows while Redis is away. */
export function jobMetrics(metrics: Metrics, pool: Pool, clock: Clock) {
  const running = new Map<string, number>();
  const labels = { queue: [...QUEUES], task: TASKS, outcome: OUTCOMES };
  const attempts = metrics.counter({
    name: 'job_attempts_total',
    help: 'Attempts at jobs, by how they ended.',
    labels,
  });
  const duration = metrics.histogram({
    name: 'job_duration_seconds',
    help: 'Time an attempt took.',
    labels,
    buckets: BUCKETS,
  });
  const mails = metrics.counter({
    name: 'job_mails_total',
    help: 'Mails by template and by what became of them; attempts that are followed by another do not count.',
    labels: { template: TEMPLATES, outcome: OUTCOMES },
  });
  const startLag = metrics.histogram({
    name: 'job_start_lag_seconds',
    help: 'Time from when a job was due to its start.',
    buckets: BUCKETS,
  });
  const heartbeat = metrics.gauge({
    name: 'worker_heartbeat_timestamp_seconds',
    help: 'When jobs were last handed out.',
  });
  heartbeat.set(clock().getTime() / 1000);
  // Both gauges are collected in the same turn: they share one query. While the database is away the last known numbers
  // stand, and the scrape goes on.
  let reading: Promise<Backlog[]> | undefined;
  const backlogs = (): Promise<Backlog[]> => {
    reading ??= listBacklogs(pool, QUEUES, clock())
      .catch(() => [])
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  metrics.gauge({
    name: 'job_oldest_ready_age_seconds',
    help: 'Age of the oldest job that is due.',
    labels: { queue: [...QUEUES] },
    async collect(gauge) {
      for (const { queue, oldest_ready_at: dueAt } of await backlogs())
        gauge.set({ queue }, dueAt ? Math.max(0, clock().getTime() - dueAt.getTime()) / 1000 : 0);
    },
  });
  metrics.gauge({
    name: 'job_queue_length',
    help: 'Jobs by queue and state; those running are of this process.',
    labels: { queue: [...QUEUES], state: ['ready', 'running', 'delayed', 'dead'] },
    async collect(gauge) {
      for (const { queue, ready, delayed, dead } of await backlogs()) {
        const active = running.get(queue) ?? 0;
        const lengths = { ready: Math.max(0, ready - active), running: active, delayed, dead };
        for (const [state, length] of Object.entries(lengths)) gauge.set({ queue, state }, length);
      }
    },
  });

  return {
    beat: () => heartbeat.set(clock().getTime() / 1000),
    /** Counts what became of a job in the end. */
    ended({ name, payload }: { name: string; payload: unknown }, outcome: string): void {
      const template = String((payload as { template?: unknown } | null)?.template);
      if (name === 'mail.send' && (TEMPLATES as string[]).includes(template)) mails.inc({ template, outcome });
    },
    /** Counts an attempt from here to the call of what it returns. */
    started({ queue, name, run_after }: Task, now: Date): (outcome: string) => void {
      const task = TASKS.includes(name) ? name : '__unknown__';
      const startedAt = performance.now();
      startLag.observe(Math.max(0, now.getTime() - run_after.getTime()) / 1000);
      running.set(queue, (running.get(queue) ?? 0) + 1);
      return (outcome) => {
        running.set(queue, (running.get(queue) ?? 1) - 1);
        attempts.inc({ queue, task, outcome });
        duration.observe({ queue, task, outcome }, (performance.now() - startedAt) / 1000);
      };
    },
  };
}
