/** What is seen of a release at one moment of its bake. Numbers of requests count from the switch on. */
export interface Observation {
  at: number;
  /** Processes that ended or are not ready, in words. */
  broken: readonly string[];
  /** Processes that do not say they are ready. */
  unready: readonly string[];
  requests: number;
  /** Of those, answered 5xx, but for what an application behind the gateway answered itself. */
  errors: number;
  /** In seconds; of the requests that count. Infinite when it is longer than what is measured. */
  p99: number;
  /** Requests that wait for a database connection, over all processes. */
  waiting: number;
  /** Jobs that nobody will try again. */
  dead: number;
  /** Attempts at jobs by the new workers, and by those of the release before in the same time. */
  jobs: Attempts;
  jobsBefore: Attempts;
  /** How many runs of the synthetic tenant have failed in a row. */
  syntheticFailures: number;
}

export interface Attempts {
  ended: number;
  failed: number;
}

export interface Baseline {
  /** 5xx among the answers of the release before, 0 to 1. */
  errorShare: number;
  /** In seconds; zero when too few requests tell. */
  p99: number;
  dead: number;
}

export const ENOUGH_REQUESTS = 50;
// What the objective for latency allows, and a bound of the histogram.
const SLOW_SECONDS = 0.5;
const TIMES_SLOWER = 2;
// Processes that have just been started are slow at first.
const SLOW_MS = 30_000;
const ENOUGH_ATTEMPTS = 5;
const ENOUGH_FAILED = 3;
const DEAD_SHARE = 0.1;
const ERROR_SHARE = 0.01;
const TIMES_BEFORE = 3;
const WAITING_MS = 30_000;
const UNREADY_ROUNDS = 3;
const SYNTHETIC_FAILURES = 2;

/** Why the release must not stay, or undefined while nothing speaks against it. The last observation is the newest. */
export function verdict(observations: readonly Observation[], baseline: Baseline): string | undefined {
  const now = observations.at(-1);
  if (!now) return undefined;
  if (now.broken[0]) return now.broken[0];
  const unready = stillUnready(observations);
  if (unready) return `${unready} is not ready`;
  if (now.syntheticFailures >= SYNTHETIC_FAILURES)
    return `the synthetic tenant failed ${now.syntheticFailures} times in a row`;
  const share = now.requests === 0 ? 0 : now.errors / now.requests;
  if (now.requests >= ENOUGH_REQUESTS && share > ERROR_SHARE && share > TIMES_BEFORE * baseline.errorShare)
    return `${percent(share)} of ${now.requests} requests were answered 5xx; before it were ${percent(baseline.errorShare)}`;
  if (slowFor(observations, baseline.p99) >= SLOW_MS)
    return `one request in a hundred took ${seconds(now.p99)} or more for 30 s; before it were ${seconds(baseline.p99)}`;
  const failing = shareOf(now.jobs);
  // One mail to an address that does not exist is a dead job too, and anybody can cause it.
  if (now.dead > baseline.dead && now.jobs.failed >= ENOUGH_FAILED && failing > DEAD_SHARE)
    return `${now.dead - baseline.dead} jobs failed for good, and ${percent(failing)} of the attempts at jobs failed`;
  // When the mail server is away, the workers of before fail as well.
  if (now.jobs.ended >= ENOUGH_ATTEMPTS && failing > 0.5 && shareOf(now.jobsBefore) <= 0.5)
    return `${now.jobs.failed} of ${now.jobs.ended} attempts at jobs failed`;
  if (waitedFor(observations) >= WAITING_MS) return 'requests have been waiting for database connections for 30 s';
  return undefined;
}

/** One answer that was late is no reason; a process that has not been ready for three looks is. */
function stillUnready(observations: readonly Observation[]): string | undefined {
  const looks = observations.slice(-UNREADY_ROUNDS);
  if (looks.length < UNREADY_ROUNDS) return undefined;
  return looks[0]?.unready.find((name) => looks.every(({ unready }) => unready.includes(name)));
}

function waitedFor(observations: readonly Observation[]): number {
  const free = observations.findLastIndex(({ waiting }) => waiting === 0);
  const since = observations[free + 1]?.at;
  return since === undefined ? 0 : (observations.at(-1)?.at ?? since) - since;
}

function slowFor(observations: readonly Observation[], before: number): number {
  const isSlow = ({ requests, p99 }: Observation) =>
    requests >= ENOUGH_REQUESTS && before > 0 && p99 > SLOW_SECONDS && p99 > TIMES_SLOWER * before;
  const since = observations[observations.findLastIndex((one) => !isSlow(one)) + 1]?.at;
  return since === undefined ? 0 : (observations.at(-1)?.at ?? since) - since;
}

const shareOf = ({ ended, failed }: Attempts) => (ended === 0 ? 0 : failed / ended);
const seconds = (value: number) => (Number.isFinite(value) ? `${value.toFixed(2)} s` : 'more than 10 s');

/**
 * The time that this share of requests took at the most, from the counts of a histogram by upper bound (cumulated, in
 * seconds), between its bounds as PromQL's histogram_quantile estimates it. Zero when there is none.
 */
export function quantile(share: number, counts: ReadonlyMap<number, number>): number {
  const bounds = [...counts].sort(([one], [other]) => one - other);
  const rank = share * (bounds.at(-1)?.[1] ?? 0);
  if (rank === 0) return 0;
  const index = bounds.findIndex(([, count]) => count >= rank);
  const [bound, count] = bounds[index] ?? [0, 0];
  const [below, until] = bounds[index - 1] ?? [0, 0];
  return Number.isFinite(bound) ? below + ((bound - below) * (rank - until)) / (count - until) : bound;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
