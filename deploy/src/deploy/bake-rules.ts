/** What is seen of a release at one moment of its bake. Numbers of requests count from the switch on. */
export interface Observation {
  at: number;
  /** Processes that ended or are not ready, in words. */
  broken: readonly string[];
  /** Processes that do not say they are ready. */
  unready: readonly string[];
  requests: number;
  /** Of those, answered 5xx. */
  errors: number;
  /** Requests that wait for a database connection, over all processes. */
  waiting: number;
  /** Jobs that nobody will try again. */
  dead: number;
  /** How many runs of the synthetic tenant have failed in a row. */
  syntheticFailures: number;
}

export interface Baseline {
  /** 5xx among the answers of the release before, 0 to 1. */
  errorShare: number;
  dead: number;
}

const ENOUGH_REQUESTS = 50;
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
  if (now.dead > baseline.dead) return `${now.dead - baseline.dead} jobs failed for good`;
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

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
