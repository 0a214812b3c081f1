import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from '../compose.ts';
import type { Context, Settings } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import type { Colour } from '../places.ts';
import { type Attempts, type Baseline, ENOUGH_REQUESTS, type Observation, quantile, verdict } from './bake-rules.ts';
import { containersOf } from './colour.ts';
import { hasCrashed, isReady } from './gate.ts';
import { askOps, opsUrl, samplesOf, sumOf } from './ops.ts';

const EVERY_MS = 1_000;
const SYNTHETIC_PAUSE_MS = 15_000;

interface Counts {
  requests: number;
  errors: number;
  waiting: number;
  dead: number;
  jobs: Attempts;
  /** How many requests took at most so many seconds. */
  times: Map<number, number>;
}

/** Counts from before the switch, which what follows is compared with. */
export interface Start {
  baseline: Baseline;
  counts: Counts;
  /** Of the release before, which still runs. */
  old?: { colour: Colour; jobs: Attempts };
}

/** To be taken right before the switch; `old` is undefined on a first installation. */
export async function beforeBake(context: Context, colour: Colour, old: Colour | undefined): Promise<Start> {
  const counts = await countsOf(context, await containersOf(context, colour));
  const before = old && (await countsOf(context, await containersOf(context, old)));
  const errorShare = before && before.requests > 0 ? before.errors / before.requests : 0;
  const p99 = before && before.requests >= ENOUGH_REQUESTS ? quantile(0.99, before.times) : 0;
  const baseline = { errorShare, p99, dead: before?.dead ?? counts.dead };
  return { baseline, counts, ...(before && { old: { colour: old, jobs: before.jobs } }) };
}

/** Watches the colour for so long; throws a Failure with what was seen when it must not stay. */
export async function bake(context: Context, colour: Colour, start: Start, options: BakeOptions): Promise<void> {
  const observations: Observation[] = [];
  const synthetic = repeatSynthetic(options.synthetic);
  try {
    for (const end = Date.now() + options.seconds * 1000; ; await delay(EVERY_MS)) {
      observations.push(await observe(context, colour, start, synthetic.failures()));
      const reason = verdict(observations, start.baseline);
      if (reason) throw new Failure(EXIT.rolledBack, reason, synthetic.failures() > 0 ? synthetic.said() : []);
      // A run that has begun is waited for, and one that failed is made again: it was either twice or it was chance.
      if (Date.now() >= end && synthetic.passed()) return;
    }
  } finally {
    synthetic.stop();
  }
}

export interface BakeOptions {
  seconds: number;
  /** One run of the synthetic tenant against the colour; rejects when it fails. */
  synthetic: () => Promise<unknown>;
}

async function observe(context: Context, colour: Colour, start: Start, failures: number): Promise<Observation> {
  const { counts, old } = start;
  const containers = await containersOf(context, colour);
  const broken = containers
    .filter((container) => hasCrashed(container) || container.health === 'unhealthy')
    .map(({ service, state, health, restarts }) =>
      restarts > 0 || state !== 'running' ? `${service} has ended` : `${service} is ${health}`,
    );
  const answers = await Promise.all(containers.map((container) => isReady(container, context)));
  const unready = containers.filter((_, index) => !answers[index]?.ok).map(({ service }) => service);
  const now = await countsOf(context, containers);
  const workers = old && (await countsOf(context, await context.compose.containers([`worker-${old.colour}`])));
  return {
    at: Date.now(),
    broken,
    unready,
    requests: now.requests - counts.requests,
    errors: now.errors - counts.errors,
    waiting: now.waiting,
    p99: quantile(0.99, since(now.times, counts.times)),
    dead: now.dead,
    // From the start of the processes on: they have taken jobs since then.
    jobs: now.jobs,
    jobsBefore: {
      ended: (workers?.jobs.ended ?? 0) - (old?.jobs.ended ?? 0),
      failed: (workers?.jobs.failed ?? 0) - (old?.jobs.failed ?? 0),
    },
    syntheticFailures: failures,
  };
}

/** What has come since then: both count from the start of the processes. */
function since(now: ReadonlyMap<number, number>, then: ReadonlyMap<number, number>): Map<number, number> {
  return new Map([...now].map(([bound, count]) => [bound, count - (then.get(bound) ?? 0)]));
}

async function countsOf({ settings }: Context, containers: readonly Container[]): Promise<Counts> {
  const jobs = { ended: 0, failed: 0 };
  const counts: Counts = { requests: 0, errors: 0, waiting: 0, dead: 0, jobs, times: new Map() };
  await Promise.all(
    containers.map(async (container) => {
      const url = opsUrl(container, settings);
      const { text } = url ? await askOps(`${url}/metrics`) : { text: '' };
      counts.waiting += sumOf(text, 'db_connections_waiting');
      // Every worker reads the same number from the database.
      counts.dead = Math.max(
        counts.dead,
        sumOf(text, 'job_queue_length', ({ state }) => state === 'dead'),
      );
      if (container.service.startsWith('gateway-')) countRequests(text, counts);
      jobs.ended += sumOf(text, 'job_attempts_total');
      jobs.failed += sumOf(text, 'job_attempts_total', ({ outcome }) => outcome === 'failure' || outcome === 'unknown');
    }),
  );
  return counts;
}

const OWN = ['auth', 'org', 'audit'];
const isServerError = (status = '') => status.startsWith('5');
/** Passed on to an application, which takes the time it takes. */
const isPassedOn = (route = '') => route.startsWith('/api/proxy/') || route.startsWith('/api/standalone/');

/** What a gateway says of the requests that it answered; an application's own failures are no fault of the release. */
export function countRequests(text: string, counts: Pick<Counts, 'requests' | 'errors' | 'times'>): void {
  counts.requests += sumOf(text, 'http_requests_total');
  const answered = sumOf(text, 'http_requests_total', ({ status }) => isServerError(status));
  const theirs = sumOf(
    text,
    'upstream_request_duration_seconds_count',
    ({ status, server_address: name = '' }) => isServerError(status) && !OWN.includes(name),
  );
  counts.errors += Math.max(0, answered - theirs);
  for (const { labels, value } of samplesOf(text, 'http_request_duration_seconds_bucket')) {
    if (isPassedOn(labels['route'])) continue;
    const bound = labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']);
    counts.times.set(bound, (counts.times.get(bound) ?? 0) + value);
  }
}

/** One gateway after the other; one that failed is asked again, so that the other does not hide it. */
export function inTurns<T>(addresses: readonly string[], ask: (address: string) => Promise<T>): () => Promise<T> {
  let turn = 0;
  return async () => {
    const answer = await ask(addresses[turn % addresses.length] ?? '');
    turn += 1;
    return answer;
  };
}

/** BAKE_SECONDS; throws a Failure where it is no number, with which a bake would never end. */
export function bakeSecondsOf(settings: Settings): number {
  const given = settings['BAKE_SECONDS'] ?? '';
  if (/^\d+(\.\d+)?$/.test(given)) return Number(given);
  throw new Failure(EXIT.secrets, `BAKE_SECONDS is a number of seconds, not ${given || 'nothing'}`);
}

/** Runs it again and again beside the looks, since one run takes longer than they may wait. */
function repeatSynthetic(once: () => Promise<unknown>) {
  const stopping = new AbortController();
  let failures = 0;
  let runs = 0;
  let said: string[] = [];
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        await once();
        failures = 0;
      } catch (error) {
        failures += 1;
        said = error instanceof Failure ? [error.message, ...error.lines] : [String(error)];
      }
      runs += 1;
      // The second try after a failure is made at once.
      await delay(failures > 0 ? 500 : SYNTHETIC_PAUSE_MS, undefined, { signal: stopping.signal }).catch(
        () => undefined,
      );
    }
  };
  void loop();
  return {
    passed: () => runs > 0 && failures === 0,
    failures: () => failures,
    said: () => said,
    stop: () => stopping.abort(),
  };
}
