import { requestContext } from './context.ts';
import type { Logger } from './log.ts';

export interface AccessEntry {
  method: string;
  /** The route template; the path itself may hold what a client put there. */
  route: string;
  status: number;
  durationMs: number;
  address: string;
}

/** Writes the one line of a served request: 5xx as error, the rest as info. */
export function logAccess(log: Logger, { method, route, status, durationMs, address }: AccessEntry): void {
  log.log(status >= 500 ? 'error' : 'info', 'request served', {
    'http.request.method': method,
    'http.route': route,
    'http.response.status_code': status,
    duration_ms: Math.round(durationMs * 10) / 10,
    'client.address': address,
    ...requestContext.getStore(),
  });
}
