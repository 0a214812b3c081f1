import { requestContext } from './context.ts';
import { type Logger, lineSink } from './log.ts';

export interface AccessEntry {
  method: string;
  /** The route template; the path itself may hold what a client put there. */
  route: string;
  status: number;
  durationMs: number;
  address: string;
}

/**
 * Writes the one line of a served request: 5xx as error, the rest as info. It is the only line that every request
 * costs, so it goes past winston's streams: its text is put together here and takes a tenth of the time. None of its
 * fields holds what a client wrote, so there is nothing to redact.
 */
export function logAccess(log: Logger, { method, route, status, durationMs, address }: AccessEntry): void {
  const level = status >= 500 ? 'error' : 'info';
  if (!log.isLevelEnabled(level)) return;
  const duration = Math.round(durationMs * 10) / 10;
  const context = requestContext.getStore();
  const sink = lineSink(log);
  if (!sink) {
    log.log(level, 'request served', {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': status,
      duration_ms: duration,
      'client.address': address,
      ...context,
    });
    return;
  }
  const ids = context
    ? `"request_id":${JSON.stringify(context.request_id)},"trace_id":${JSON.stringify(context.trace_id)},`
    : '';
  sink(
    level,
    `"body":"request served",${ids}"http.request.method":${JSON.stringify(method)},"http.route":${JSON.stringify(route)},` +
      `"http.response.status_code":${status},"duration_ms":${duration},"client.address":${JSON.stringify(address)}`,
  );
}
