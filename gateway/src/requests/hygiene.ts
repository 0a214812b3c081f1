import type { IncomingMessage } from 'node:http';
import { readTarget } from '@gatehouse/kit/request-target';
import { type Cors, changesSomething } from '../cors/cors.ts';
import { REFUSALS, type Refusal } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import { findRoute, isPublic } from '../routes/routes.ts';
import type { ClientAddresses } from './address.ts';
import { readTrace } from './trace.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

interface Options {
  addresses: ClientAddresses;
  cors: Cors;
  maxBodyBytes: number;
}

/**
 * Fills in who sent a request and what it asks for, and refuses what has two readings. Behind nginx most of this cannot
 * happen; the gateway does not rely on it.
 */
export function createHygiene({ addresses, cors, maxBodyBytes }: Options) {
  function identifyRequest(exchange: Exchange): void {
    const { head, req } = exchange;
    const peer = req.socket.remoteAddress ?? '';
    const trusted = addresses.isTrusted(peer);
    const client = addresses.resolve(peer, head.repeated === 'x-forwarded-for' ? undefined : head.forwardedFor);
    exchange.address = client.address;
    exchange.limiterKey = client.limiterKey;
    const trace = readTrace(trusted, head.requestId, head.traceparent);
    exchange.requestId = trace.requestId;
    exchange.traceId = trace.traceId;
    exchange.traceparent = trace.traceparent;
  }

  return (exchange: Exchange): Refusal | undefined => {
    identifyRequest(exchange);
    const { head, req, method } = exchange;
    const origin = cors.judge(head);
    if (origin === 'allowed') exchange.allowedOrigin = head.origin;
    if (!METHODS.has(method)) return REFUSALS.method;
    const target = readTarget(req.url ?? '');
    if (target === 'too_long') return REFUSALS.longTarget;
    if (target === 'malformed') return REFUSALS.oddTarget;
    exchange.path = target.path;
    exchange.query = target.query;
    const framing = judgeFraming(req, exchange);
    if (framing) return framing;
    if (head.repeated !== undefined) return repeatedHeader(head.repeated);
    if (origin === 'foreign' && (changesSomething(method) || exchange.res === undefined)) return REFUSALS.foreignOrigin;
    exchange.route = findRoute(target.path);
    if (exchange.route === undefined) return undefined;
    exchange.template = exchange.route.template;
    exchange.isPublic = exchange.route.kind === 'service' && isPublic(method, target.path);
    return undefined;
  };

  function judgeFraming(req: IncomingMessage, { head, method }: Exchange): Refusal | undefined {
    const { transferEncoding, contentLength } = head;
    if (transferEncoding === undefined && contentLength === undefined) return undefined;
    if (transferEncoding !== undefined) {
      // Transfer-Encoding in HTTP/1.0, beside a length, or as anything but plain chunked: RFC 9112, section 6.1.
      if (req.httpVersion !== '1.1' || contentLength !== undefined || transferEncoding !== 'chunked')
        return REFUSALS.framing;
    } else if (!/^\d{1,15}$/.test(contentLength ?? '')) return REFUSALS.framing;
    if ((method === 'GET' || method === 'HEAD') && contentLength !== '0') return REFUSALS.bodyOnGet;
    return Number(contentLength ?? 0) > maxBodyBytes ? REFUSALS.tooLarge : undefined;
  }
}

function repeatedHeader(name: string): Refusal | undefined {
  // These two are told apart from each other below, and an overwritten one from the proxy is the proxy's affair.
  if (name === 'authorization' || name === 'x-api-key') return REFUSALS.ambiguousCredential;
  if (name === 'x-forwarded-for' || name === 'x-request-id' || name === 'traceparent') return undefined;
  if (name === 'user-agent' || name === 'sec-fetch-site') return undefined;
  return name === 'content-length' || name === 'transfer-encoding' || name === 'host'
    ? REFUSALS.framing
    : REFUSALS.repeatedHeader;
}

export type Hygiene = ReturnType<typeof createHygiene>;
