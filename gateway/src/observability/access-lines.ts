import { type Logger, lineSink } from '@gatehouse/kit/log';
import type { Exchange } from '../exchange.ts';

/**
 * Writes the one line of a request, of the same form as the logger's other lines but past its streams: put together
 * from text, since it is the only line that every request costs. Every value in it was checked or made by the gateway,
 * so that none needs escaping and none holds what a client wrote.
 */
export function createAccessLines(log: Logger): (exchange: Exchange, durationMs: number) => void {
  const sink = lineSink(log);
  return (exchange, durationMs) => {
    const { principal, standing, status, refused } = exchange;
    const level = status >= 500 ? 'error' : 'info';
    if (sink === undefined || log.silent || !log.isLevelEnabled(level)) return;
    const who =
      principal.kind === 'user'
        ? `,"user.id":"${principal.user_id}"`
        : standing.key_id !== undefined
          ? `,"key.id":"${standing.key_id}"`
          : '';
    const org = standing.org === undefined ? '' : `,"org.id":"${standing.org.id}"`;
    const code = refused === undefined ? '' : `,"code":"${refused.code}"`;
    sink(
      level,
      `"body":"request served","request_id":"${exchange.requestId}","trace_id":"${exchange.traceId}",` +
        `"http.request.method":"${exchange.methodLabel}","http.route":"${exchange.template}",` +
        `"http.response.status_code":${status},"duration_ms":${Math.round(durationMs * 10) / 10},` +
        `"client.address":"${exchange.address}"${who}${org}${code}`,
    );
  };
}
