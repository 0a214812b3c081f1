import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { STATUS_CODES } from '@gatehouse/kit/node-http';
import { captureError } from '@gatehouse/kit/sentry';
import type { AccessEvents } from './access-events/access-events.ts';
import { preflightHeaders } from './cors/cors.ts';
import { answer, refuse } from './errors/answer.ts';
import { problemBody, REFUSALS, type Refusal } from './errors/problem.ts';
import { Exchange } from './exchange.ts';
import { type ForwardContext, Forwarding } from './forward/forwarding.ts';
import { createSweep } from './forward/sweep.ts';
import type { Target } from './forward/targets.ts';
import type { GatewayMetrics } from './observability/metrics.ts';
import type { OwnEndpoint } from './own/own.ts';
import type { Admission, OutgoingHeaders } from './pipeline.ts';
import type { Quota } from './quota/quota.ts';
import { readHead } from './requests/head.ts';
import type { Hygiene } from './requests/hygiene.ts';
import { readTrace } from './requests/trace.ts';
import { UNMATCHED } from './routes/routes.ts';
import type { Upgrades } from './upgrade/upgrades.ts';

interface Options {
  log: Logger;
  hygiene: Hygiene;
  admission: Admission;
  own: ReadonlyMap<string, OwnEndpoint>;
  outgoing: OutgoingHeaders;
  quota: Quota;
  upgrades: Upgrades;
  events: AccessEvents;
  metrics: GatewayMetrics;
  services: ReadonlyMap<string, Target>;
  upstreams: ReadonlyMap<string, Target>;
  maxBodyBytes: number;
  stallTimeoutMs: number;
  finished(exchange: Exchange): void;
}

const EXCHANGE = Symbol('exchange');
type Marked<T> = T & { [EXCHANGE]?: Exchange };

/** The way of a request through the gateway: hygiene, own endpoints, admission, forwarding. */
export function createHandler(options: Options) {
  const { log, hygiene, admission, own, outgoing, quota, upgrades, events, metrics, finished } = options;
  const context: ForwardContext = {
    quota,
    maxBodyBytes: options.maxBodyBytes,
    now: () => performance.now(),
    observe: (target, method, outcome, startedAt) =>
      metrics.observeUpstream(target, method, outcome, (performance.now() - startedAt) / 1000),
  };
  const sweep = createSweep({
    stallTimeoutMs: options.stallTimeoutMs,
    stillAdmitted: admission.stillAdmitted,
  });

  function begin(req: IncomingMessage, res: ServerResponse | undefined, socket: Duplex): Exchange {
    metrics.started();
    const exchange = new Exchange(req, res, socket, readHead(req.rawHeaders), UNMATCHED);
    // One function for all requests, which finds the exchange on the response, instead of a closure for each.
    const end: Marked<ServerResponse | Duplex> = res ?? socket;
    end[EXCHANGE] = exchange;
    end.on('close', onClose);
    return exchange;
  }

  function onClose(this: Marked<ServerResponse | Duplex>): void {
    const exchange = this[EXCHANGE];
    if (!exchange) return;
    // Nothing was answered in full: what the client sees of it is a broken connection (nginx calls that 499).
    if (exchange.status === 0) exchange.status = 499;
    exchange.done = true;
    if (exchange.forwarding !== undefined) {
      exchange.forwarding.abandon();
      sweep.remove(exchange);
    }
    if (exchange.res === undefined) upgrades.ended(exchange);
    else finished(exchange);
  }

  function guarded(exchange: Exchange, run: () => void): void {
    try {
      run();
    } catch (error) {
      log.error('a request failed', { ...errorFields(error), request_id: exchange.requestId });
      captureError(error, exchange.template);
      refuse(exchange, REFUSALS.internal, quota);
    }
  }

  function handle(req: IncomingMessage, res: ServerResponse): void {
    const exchange = begin(req, res, req.socket);
    guarded(exchange, () => {
      exchange.fault = hygiene(exchange);
      if (exchange.fault === undefined) {
        if (isPreflight(exchange)) return preflight(exchange);
        const endpoint = own.get(exchange.path);
        if (endpoint) return answerOwn(exchange, endpoint);
        if (exchange.route === undefined) return refuse(exchange, REFUSALS.notFound, quota);
      }
      admission.admit(exchange, admitted);
    });
  }

  /** As `handle`, for a client that waits to be told that it may send its body. */
  function handleExpecting(req: IncomingMessage, res: ServerResponse): void {
    handle(req, Object.assign(res, { expectsContinue: true }));
  }

  function admitted(exchange: Exchange, refusal: Refusal | undefined): void {
    // Its client left while something was loaded.
    if (exchange.done) return;
    if (refusal !== undefined) return deny(exchange, refusal);
    const target = targetOf(exchange);
    exchange.expectsContinue = (exchange.res as { expectsContinue?: boolean } | undefined)?.expectsContinue === true;
    guarded(exchange, () => {
      const forwarding = new Forwarding(exchange, target, outgoing(exchange, target), context);
      forwarding.start();
      if (exchange.forwarding !== undefined && !forwarding.ended) sweep.add(exchange);
    });
  }

  function targetOf({ route }: Exchange): Target {
    const found = (route?.kind === 'service' ? options.services : options.upstreams).get(route?.target ?? '');
    if (!found) throw new Error('the route leads nowhere');
    return found;
  }

  function deny(exchange: Exchange, refusal: Refusal): void {
    if (refusal.recorded && isNews(exchange, refusal)) events.record(exchange, refusal);
    refuse(exchange, refusal, quota);
  }

  /** A flood of refusals by one quota is one event a minute. */
  function isNews({ spent }: Exchange, { code }: Refusal): boolean {
    return code !== 'rate_limited' || spent === undefined || quota.isNews(spent);
  }

  function preflight(exchange: Exchange): void {
    if (exchange.allowedOrigin === undefined) {
      exchange.fault = REFUSALS.foreignOrigin;
      return admission.admit(exchange, admitted);
    }
    answer(exchange, { status: 204, headers: preflightHeaders(), body: '', quota });
  }

  function answerOwn(exchange: Exchange, endpoint: OwnEndpoint): void {
    exchange.template = endpoint.template;
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return refuse(exchange, REFUSALS.method, quota);
    const made = endpoint.answer();
    if (!(made instanceof Promise)) return sendOwn(exchange, made);
    made.then(
      (later) => sendOwn(exchange, later),
      () => refuse(exchange, REFUSALS.unavailable, quota),
    );
  }

  function sendOwn(exchange: Exchange, made: Awaited<ReturnType<OwnEndpoint['answer']>>): void {
    if (exchange.done) return;
    if ('code' in made) return refuse(exchange, made, quota);
    answer(exchange, { status: 200, headers: made.headers, body: made.body, quota });
  }

  function upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const exchange = begin(req, undefined, socket);
    guarded(exchange, () => {
      exchange.fault = hygiene(exchange);
      const kind = exchange.route?.kind;
      if (exchange.fault === undefined && (kind === undefined || kind === 'service' || !isWebSocket(req)))
        return refuse(exchange, REFUSALS.notFound, quota);
      admission.admit(exchange, (_exchange, denied) => {
        if (exchange.done) return;
        if (denied) return deny(exchange, denied);
        guarded(exchange, () => upgrades.start(exchange, targetOf(exchange), head));
      });
    });
  }

  return {
    handle,
    upgrade,
    attach(server: Server): void {
      server.on('request', handle);
      server.on('checkContinue', handleExpecting);
      server.on('upgrade', upgrade);
      server.on('clientError', clientError);
    },
    close: sweep.close,
  };
}

function isPreflight({ method, head }: Exchange): boolean {
  return method === 'OPTIONS' && head.origin !== undefined && head.requestedMethod !== undefined;
}

function isWebSocket(req: IncomingMessage): boolean {
  return req.method === 'GET' && req.headers.upgrade?.toLowerCase() === 'websocket';
}

/** What the parser could not read, or what came too slowly; there is no request to speak of. */
function clientError(error: NodeJS.ErrnoException, duplex: Duplex): void {
  const socket = duplex as Socket;
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const { requestId } = readTrace(false, undefined, undefined);
  const code = FAULTS[error.code ?? ''] ?? 'request.malformed';
  const { status, title } = ERRORS[code];
  const body = problemBody(code, title, requestId);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n` +
      `x-request-id: ${requestId}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const FAULTS: Record<string, ErrorCode | undefined> = {
  HPE_HEADER_OVERFLOW: 'request.header_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request.timeout',
};
