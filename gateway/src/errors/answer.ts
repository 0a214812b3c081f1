import { ERRORS } from '@gatehouse/contracts/errors';
import { STATUS_CODES } from '@gatehouse/kit/node-http';
import { writeCorsHeaders } from '../cors/cors.ts';
import type { Exchange } from '../exchange.ts';
import type { Quota } from '../quota/quota.ts';
import { problemBody, type Refusal } from './problem.ts';

// What a refused request may still send without costing the connection; nginx sends its bodies at once.
const DRAIN_MAX = 1_048_576;

/** Headers that every answer carries, whoever made it: request id, quota, CORS. */
export function writeCommonHeaders(exchange: Exchange, quota: Quota, headers: string[]): void {
  headers.push('x-request-id', exchange.requestId);
  if (exchange.spent !== undefined) quota.writeHeaders(exchange.spent, headers);
  if (exchange.head.origin !== undefined) writeCorsHeaders(exchange.allowedOrigin, headers);
}

/** Answers with a problem document; on an upgrade's bare socket too. Does nothing when the exchange is done. */
export function refuse(exchange: Exchange, refusal: Refusal, quota: Quota): void {
  if (exchange.done) return;
  exchange.refused = refusal;
  exchange.decision ??= refusal.reason;
  const { status } = ERRORS[refusal.code];
  const body = problemBody(refusal.code, refusal.detail, exchange.requestId, refusal.extensions);
  const headers = ['content-type', 'application/problem+json', 'cache-control', 'no-store'];
  if (refusal.headers) headers.push(...refusal.headers);
  answer(exchange, { status, headers, body, quota, close: refusal.close === true });
}

interface Answer {
  status: number;
  headers: string[];
  body: string | Buffer;
  quota: Quota;
  close?: boolean;
}

/** Sends an answer that the gateway made itself, and deals with what the client may still be sending. */
export function answer(exchange: Exchange, { status, headers, body, quota, close = false }: Answer): void {
  exchange.done = true;
  exchange.status = status;
  writeCommonHeaders(exchange, quota, headers);
  const { res, req } = exchange;
  if (res === undefined) return answerSocket(exchange, status, headers, body);
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const bodyless = status === 204 || status === 304;
  if (!bodyless) headers.push('content-length', String(Buffer.byteLength(body)));
  if (close || !drains(exchange)) headers.push('connection', 'close');
  res.writeHead(status, headers);
  res.end(bodyless || exchange.method === 'HEAD' ? undefined : body);
  if (!req.complete && !req.destroyed) req.resume();
}

/** Whether the rest of the request's body is small enough to be read and thrown away. */
function drains({ req, head }: Exchange): boolean {
  if (req.complete) return true;
  if (req.destroyed || head.transferEncoding !== undefined) return false;
  return Number(head.contentLength ?? 0) <= DRAIN_MAX;
}

function answerSocket({ socket }: Exchange, status: number, headers: string[], body: string | Buffer): void {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  text += `content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  if (socket.writable) socket.end(text + body.toString());
}
