import type { ServerResponse } from 'node:http';
import type { z } from 'zod';
import type { RequestContext } from './context.ts';
import type { Endpoint, Reply } from './endpoint.ts';
import { type AppError, toProblem } from './errors.ts';
import { STATUS_CODES } from './node-http.ts';

interface Answered {
  res: ServerResponse;
  context: RequestContext;
}

/** Answers a request as its endpoint declares; a client that has left gets nothing. */
export function answer(
  { res, context }: Answered,
  endpoint: Endpoint,
  result: unknown,
  extra: Record<string, string> = {},
): void {
  const replied = (result as Reply | undefined)?.reply === true ? (result as Reply) : undefined;
  const status = replied?.status ?? endpoint.status;
  const schema = endpoint.answers[status];
  if (!schema) throw new Error(`${endpoint.method} ${endpoint.path} declares no answer ${status}`);
  const text = textOf(schema, replied ? replied.body : result);
  const headers: Record<string, string | string[]> = {
    'cache-control': 'no-store',
    'x-request-id': context.request_id,
    ...replied?.headers,
    ...extra,
  };
  if (res.writableEnded || res.destroyed) return;
  if (text === undefined) {
    res.writeHead(status, headers).end();
    return;
  }
  headers['content-type'] ??= 'application/json; charset=utf-8';
  headers['content-length'] = String(Buffer.byteLength(text));
  res.writeHead(status, headers).end(text);
}

const constants = new WeakMap<object, string>();

/** The answer as it is sent, with the fields that are declared. A frozen one never changes: it is written once. */
function textOf(schema: z.ZodType, value: unknown): string | undefined {
  const constant = typeof value === 'object' && value !== null && Object.isFrozen(value);
  const known = constant ? constants.get(value) : undefined;
  if (known !== undefined) return known;
  const body = schema.parse(value);
  const text = body === undefined ? undefined : JSON.stringify(body);
  if (constant && text !== undefined) constants.set(value, text);
  return text;
}

/** Answers with a problem document; an answer that is under way is cut, so that it cannot be taken for a whole one. */
export function sendProblem({ res, context }: Answered, error: AppError): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const text = JSON.stringify(toProblem(error, context.request_id));
  res
    .writeHead(error.status, STATUS_CODES[error.status] ?? '', {
      'content-type': 'application/problem+json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      'x-request-id': context.request_id,
      ...error.headers,
    })
    .end(text);
}
