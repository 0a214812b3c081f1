import { AppError } from './errors.ts';

// The connection is gone, or was never there: node's codes and SQLSTATEs (PostgreSQL 17, appendix A).
const LOST = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['57P01', '57P02', '57P03', '57P05', '25P03', '25P04'],
]);
// pg's own errors have no code.
const LOST_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client (has encountered|was closed))/;
const READ_ONLY = '25006';
const RETRYABLE = new Set(['40001', '40P01']);
// Lock and statement timeouts: the database works but has more to do than it can.
const TOO_SLOW = new Set(['55P03', '57014']);

interface Failure {
  code?: unknown;
  message?: unknown;
  cause?: unknown;
}

/** An error and its causes. Not by `instanceof`: node's own errors are of another realm where code runs in a VM. */
function* chain(error: unknown): Generator<Failure> {
  for (let one = error; typeof one === 'object' && one !== null; one = (one as Failure).cause) yield one;
}

/** SQLSTATE (or node's code) of a failure, looked for in its causes too. */
export function sqlState(error: unknown): string | undefined {
  for (const one of chain(error)) if (typeof one.code === 'string' && !(one instanceof AppError)) return one.code;
  return undefined;
}

/** Whether the error is the violation of that constraint. Map it beside its statement, by name. */
export function violates(error: unknown, constraint: string): boolean {
  const failure = error as { code?: unknown; constraint?: unknown } | null;
  return typeof failure?.code === 'string' && failure.code.startsWith('23') && failure.constraint === constraint;
}

/** Whether the connection ended, so that whatever ran on it without a commit did not happen. */
export function isLost(error: unknown): boolean {
  const code = sqlState(error);
  if (code !== undefined) return LOST.has(code) || code.startsWith('08');
  for (const { message } of chain(error)) if (LOST_MESSAGE.test(String(message))) return true;
  return false;
}

/** Whether the same transaction may work when it runs again: serialization failure, deadlock, an outdated plan. */
export function isRetryable(error: unknown): boolean {
  return RETRYABLE.has(sqlState(error) ?? '') || isOutdatedPlan(error);
}

/** Whether the connection must not serve again: gone, out of sync, read-only since a failover, or its plans outdated. */
export function isUnusable(error: unknown): boolean {
  return isLost(error) || sqlState(error) === READ_ONLY || isOutdatedPlan(error);
}

function isOutdatedPlan(error: unknown): boolean {
  return sqlState(error) === '0A000' && /cached plan must not change/.test((error as Error).message);
}

/** A failure of the database as the 503 it is for clients; anything else as it was. */
export function asUnavailable(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const code = sqlState(error) ?? '';
  if (isLost(error) || code === READ_ONLY || code.startsWith('53'))
    return new AppError('dependency_unavailable', 'The database is unavailable.', {
      cause: error,
      headers: { 'retry-after': '1' },
    });
  if (TOO_SLOW.has(code) || RETRYABLE.has(code))
    return new AppError('overloaded', 'The database is too busy.', { cause: error, headers: { 'retry-after': '1' } });
  return error;
}
