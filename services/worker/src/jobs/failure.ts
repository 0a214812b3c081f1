/** What a failed attempt means for its job. */
export interface Failure {
  /** `unknown`: the attempt may have had its effect. `permanent`: another attempt would only repeat it. */
  kind: 'temporary' | 'permanent' | 'unknown';
  /** Of an unknown one: the other side was too slow for us, and has probably not got to it. */
  slow?: boolean;
  /** The job is fine and we are not: our settings or our credential. Nothing of its kind works until it is put right. */
  ours?: boolean;
  /** What the other side asked us to wait for. */
  retryAfterMs?: number | undefined;
}

/** The code of an attempt that has had its time. */
export const TOO_LATE = 'deadline';

/** How much an attempt speaks for an effect that nobody knows of. */
export function doubtOf({ kind, slow }: Failure): number {
  if (kind !== 'unknown') return 0;
  return slow ? 1 : 2;
}

// Not a property: libraries set their own `permanent` and `code` on errors, and mean something else.
const FAILURES = new WeakMap<object, Failure>();

/** An error that says what follows from it. The message stays in Postgres; the code may be logged. */
export function failed(message: string, code: string, failure: Failure): Error {
  const error = Object.assign(new Error(message), { code });
  FAILURES.set(error, failure);
  return error;
}

/** What an error means. One that nobody expected is tried again, with a doubt when the effect may have been had. */
export function failureOf(error: unknown, committed: boolean): Failure {
  const known = typeof error === 'object' && error !== null ? FAILURES.get(error) : undefined;
  const slow = (error as { code?: unknown } | undefined)?.code === TOO_LATE;
  return known ?? { kind: committed ? 'unknown' : 'temporary', slow };
}
