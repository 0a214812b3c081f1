import type { Dispatcher } from 'undici';
import { refuse, writeCommonHeaders } from '../errors/answer.ts';
import { circuitOpen, overloaded, REFUSALS, type Refusal } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import type { Quota } from '../quota/quota.ts';
import { answerHeaders } from './answer-headers.ts';
import { keepsSessions, markDown, type Origin, pickOrigin, type Target } from './targets.ts';

/** What every forwarding needs; made once. */
export interface ForwardContext {
  quota: Quota;
  maxBodyBytes: number;
  /** Milliseconds that only go forward. */
  now: () => number;
  /** `outcome` is the upstream's status, or why there is none. */
  observe(target: Target, method: string, outcome: number | string, startedAt: number): void;
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
// As text it goes out in one write together with the head; Latin-1 maps each byte to itself.
const SMALL_BYTES = 16_384;
const LEFT = new Error('the client has left');
const TOO_LARGE = new Error('the body is too large');

/**
 * One request to an upstream, as undici's handler for it. The answer is written as it comes; when the client is slower,
 * the upstream is paused, and when the client leaves, the upstream's connection is closed at once, paused or not.
 */
export class Forwarding implements Dispatcher.DispatchHandler {
  readonly exchange: Exchange;
  readonly target: Target;
  readonly context: ForwardContext;
  readonly options: Dispatcher.DispatchOptions;
  readonly hasBody: boolean;
  readonly path: string;
  origin: Origin;
  startedAt: number;
  controller: Dispatcher.DispatchController | undefined;
  /** When the answer was paused because the client does not read; 0 while it flows. */
  pausedAt = 0;
  upstreamStatus = 0;
  attempts = 0;
  ended = false;
  #expected = -1;
  #received = 0;
  #bodyBytes = 0;

  constructor(exchange: Exchange, target: Target, headers: string[], context: ForwardContext) {
    this.exchange = exchange;
    this.target = target;
    this.context = context;
    this.startedAt = context.now();
    this.hasBody = hasBody(exchange);
    this.path = `${exchange.route?.path ?? exchange.path}${exchange.query}`;
    this.origin = pickOrigin(target, this.startedAt);
    this.options = {
      path: this.path,
      method: exchange.method as Dispatcher.HttpMethod,
      headers,
      body: this.hasBody ? exchange.req : null,
    };
  }

  start(): void {
    const { target, exchange, context } = this;
    if (!target.circuit.allows(this.startedAt))
      return refuse(exchange, circuitOpen(target.circuit.retryAfterSeconds(this.startedAt)), context.quota);
    if (target.inFlight >= target.maxInFlight && (target.inFlight >= target.maxSmallInFlight || !isSmall(exchange))) {
      target.circuit.abandoned();
      return refuse(exchange, overloaded(), context.quota);
    }
    exchange.forwarding = this;
    target.inFlight += 1;
    if (exchange.expectsContinue) exchange.res?.writeContinue();
    this.#dispatch();
  }

  #dispatch(): void {
    this.attempts += 1;
    if (this.origin.basePath !== '') this.options.path = this.origin.basePath + this.path;
    this.origin.pool.dispatch(this.options, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // It waited for a connection, and meanwhile its client left or its time ran out.
    if (this.ended) controller.abort(LEFT);
    else if (this.hasBody && this.exchange.head.contentLength === undefined) this.#limitBody();
  }

  /** A body of unknown length is counted on its way. */
  #limitBody(): void {
    const { req } = this.exchange;
    req.on('data', (chunk: Buffer) => {
      this.#bodyBytes += chunk.length;
      if (this.#bodyBytes > this.context.maxBodyBytes && !this.ended) {
        this.#end('too_large');
        refuse(this.exchange, REFUSALS.tooLarge, this.context.quota);
        this.controller?.abort(TOO_LARGE);
      }
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.ended || status < 200) return;
    const { exchange, context } = this;
    const res = exchange.res;
    if (res === undefined) return;
    this.upstreamStatus = status;
    this.target.circuit.succeeded(context.now());
    const flat = answerHeaders(headers, { setsOurCookies: keepsSessions(this.target) });
    writeCommonHeaders(exchange, context.quota, flat);
    const length = headers['content-length'];
    if (typeof length === 'string') this.#expected = Number(length);
    // Whoever still sends when the answer is there may never stop; the connection is not used again.
    if (this.hasBody && !exchange.req.complete) flat.push('connection', 'close');
    const type = headers['content-type'];
    if (typeof type === 'string' && type.startsWith('text/event-stream')) flat.push('x-accel-buffering', 'no');
    exchange.status = status;
    res.writeHead(status, flat);
    if (this.#expected === -1) res.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const res = this.exchange.res;
    if (this.ended || res === undefined) return;
    this.#received += chunk.length;
    // The last piece of a known length ends the answer at once: one write for headers and body.
    if (this.#received === this.#expected) {
      if (chunk.length <= SMALL_BYTES) res.end(chunk.toString('latin1'), 'latin1');
      else res.end(chunk);
      return;
    }
    if (res.write(chunk)) return;
    controller.pause();
    this.pausedAt = this.context.now();
    res.once('drain', () => {
      this.pausedAt = 0;
      if (!this.ended) controller.resume();
    });
  }

  onResponseEnd(): void {
    if (this.ended) return;
    this.#end(this.upstreamStatus);
    this.exchange.done = true;
    const res = this.exchange.res;
    if (res && !res.writableEnded) res.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error & { code?: string }): void {
    if (this.ended) return;
    const { exchange, context, target } = this;
    const code = error.code ?? '';
    // The client's end of the body breaks too when it leaves; that says nothing of the upstream.
    if (exchange.socket.destroyed) return this.abandon();
    if (code === 'UND_ERR_INVALID_ARG') return this.#misbuilt();
    if (code === 'EMFILE' || code === 'ENFILE') return this.#outOfFiles();
    if (this.#retries(code)) return;
    target.circuit.failed(context.now());
    this.#end(errorType(code));
    // Part of the answer is out: all that is left is to show that it is not whole.
    if (this.upstreamStatus !== 0) {
      exchange.done = true;
      exchange.res?.destroy();
      return;
    }
    refuse(exchange, refusalOf(code), context.quota);
  }

  /**
   * Tries again where nothing can have happened twice: on another process when none was reached, and once more when
   * a kept connection turned out closed before a byte came back and the request is idempotent and without a body.
   */
  #retries(code: string): boolean {
    if (this.upstreamStatus !== 0 || this.controller?.aborted === true) return false;
    const unreached = this.controller === undefined;
    if (unreached) markDown(this.origin, this.context.now());
    const safe = unreached
      ? this.attempts < this.target.origins.length && code !== 'UND_ERR_CONNECT_TIMEOUT'
      : this.attempts === 1 && !this.hasBody && IDEMPOTENT.has(this.exchange.method) && isReset(code);
    if (!safe) return false;
    this.controller = undefined;
    this.origin = pickOrigin(this.target, this.context.now());
    this.#dispatch();
    return true;
  }

  /** undici refuses to send it: a header that our parser let through. */
  #misbuilt(): void {
    this.target.circuit.abandoned();
    this.#end('error');
    refuse(this.exchange, REFUSALS.framing, this.context.quota);
  }

  /** We have no connection left to ask with; that says nothing of the upstream. */
  #outOfFiles(): void {
    this.target.circuit.abandoned();
    this.#end('error');
    refuse(this.exchange, overloaded(), this.context.quota);
  }

  /** The client is gone, or must be let go. */
  abandon(): void {
    if (this.ended) return;
    if (this.upstreamStatus === 0) this.target.circuit.abandoned();
    this.#end(this.upstreamStatus === 0 ? 'client_left' : this.upstreamStatus);
    this.controller?.abort(LEFT);
  }

  /** Gives up waiting for a connection to the upstream. */
  giveUp(): void {
    if (this.ended || this.controller !== undefined) return;
    const { target, context, exchange } = this;
    // A service that has more to do than it can is not one that fails: to shut it off would refuse what it can serve.
    if (target.service) target.circuit.abandoned();
    else target.circuit.failed(context.now());
    this.#end('timeout');
    refuse(exchange, target.service ? overloaded() : REFUSALS.upstreamTimeout, context.quota);
  }

  #end(outcome: number | string): void {
    this.ended = true;
    this.target.inFlight -= 1;
    this.context.observe(this.target, this.exchange.method, outcome, this.startedAt);
  }
}

function hasBody({ head }: Exchange): boolean {
  return head.transferEncoding !== undefined || (head.contentLength !== undefined && head.contentLength !== '0');
}

const SMALL_BODY_BYTES = 8_192;

/** Whether what a request holds while it waits is a trifle. */
function isSmall({ head }: Exchange): boolean {
  return head.transferEncoding === undefined && Number(head.contentLength ?? 0) <= SMALL_BODY_BYTES;
}

const RESETS = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);
const isReset = (code: string) => RESETS.has(code);

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);

function refusalOf(code: string): Refusal {
  return TIMEOUTS.has(code) ? REFUSALS.upstreamTimeout : REFUSALS.upstreamUnavailable;
}

function errorType(code: string): string {
  if (TIMEOUTS.has(code)) return 'timeout';
  if (code === 'ECONNREFUSED') return 'refused';
  return isReset(code) ? 'reset' : 'error';
}
