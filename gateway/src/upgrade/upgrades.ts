import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { refuse } from '../errors/answer.ts';
import { circuitOpen, overloaded, REFUSALS } from '../errors/problem.ts';
import type { Exchange } from '../exchange.ts';
import { answerHeaders } from '../forward/answer-headers.ts';
import { pickOrigin, type Target } from '../forward/targets.ts';
import type { OutgoingHeaders } from '../pipeline.ts';
import type { Quota } from '../quota/quota.ts';

const RECHECK_MS = 1_000;

interface Options {
  outgoing: OutgoingHeaders;
  quota: Quota;
  maxOpen: number;
  timeoutMs: number;
  stillAdmitted: (exchange: Exchange) => Promise<boolean>;
  /** Told once a connection has ended, or was never opened. */
  closed: (exchange: Exchange) => void;
}

type Upgrade = (req: IncomingMessage, socket: Socket, head: Buffer) => void;

/**
 * Upgraded connections (WebSocket) to upstreams. Admitted like every request, counted, and looked at again every
 * second for as long as they are open: whoever may no longer ask may no longer listen either.
 */
export function createUpgrades({ outgoing, quota, maxOpen, timeoutMs, stillAdmitted, closed }: Options) {
  const open = new Set<Exchange>();
  const proxies = new Map<string, Upgrade>();
  const byRequest = new WeakMap<IncomingMessage, Exchange>();

  function proxyTo(target: Target, url: string): Upgrade {
    let upgrade = proxies.get(url);
    if (!upgrade) {
      upgrade = createProxyMiddleware({
        target: url,
        changeOrigin: true,
        upgradeTimeout: timeoutMs,
        on: {
          proxyReqWs: (proxyRequest, req) => watchHandshake(proxyRequest, byRequest.get(req), target),
          error: (_error, req) => failed(byRequest.get(req), target),
        },
      }).upgrade;
      proxies.set(url, upgrade);
    }
    return upgrade;
  }

  function watchHandshake(proxyRequest: ClientRequest, exchange: Exchange | undefined, target: Target): void {
    if (!exchange) return;
    const answered = (answer: IncomingMessage) => {
      target.circuit.succeeded(performance.now());
      exchange.status = answer.statusCode ?? 502;
    };
    proxyRequest.once('upgrade', (answer: IncomingMessage, upstreamSocket: Duplex) => {
      answered(answer);
      // Pipes pass on an end, but not that one side was cut off: the other would stay open for ever.
      exchange.socket.once('close', () => (upstreamSocket as Socket).destroySoon());
      upstreamSocket.once('close', () => (exchange.socket as Socket).destroySoon());
      answer.headers = handshakeHeaders(answer, exchange.requestId);
    });
    proxyRequest.once('response', (answer: IncomingMessage) => {
      answered(answer);
      answer.headers = asRecord([...answerHeaders(answer.headers), 'x-request-id', exchange.requestId]);
    });
  }

  function failed(exchange: Exchange | undefined, target: Target): void {
    if (!exchange || exchange.socket.destroyed) return;
    if (exchange.status !== 0) {
      // The answer is under way; a problem document would land in the middle of it.
      exchange.socket.destroy();
      return;
    }
    target.circuit.failed(performance.now());
    refuse(exchange, REFUSALS.upstreamUnavailable, quota);
  }

  function start(exchange: Exchange, target: Target, head: Buffer): void {
    const { req, socket } = exchange;
    const nowMs = performance.now();
    if (!target.circuit.allows(nowMs))
      return refuse(exchange, circuitOpen(target.circuit.retryAfterSeconds(nowMs)), quota);
    if (open.size >= maxOpen) {
      target.circuit.abandoned();
      return refuse(exchange, overloaded(), quota);
    }
    const origin = pickOrigin(target, nowMs);
    const flat = outgoing(exchange, target);
    req.headers = asRecord([...flat, 'connection', 'Upgrade', 'upgrade', 'websocket']);
    req.url = `${origin.basePath}${exchange.route?.path ?? '/'}${exchange.query}`;
    byRequest.set(req, exchange);
    open.add(exchange);
    proxyTo(target, origin.url)(req, socket as Socket, head);
  }

  async function recheck(): Promise<void> {
    await Promise.all(
      [...open].map(async (exchange) => {
        // A question that nobody answers is a no: what cannot be checked may not go on.
        const alive = await stillAdmitted(exchange).catch(() => false);
        if (!alive) exchange.socket.destroy();
      }),
    );
  }

  let checking = false;
  const timer = setInterval(() => {
    if (checking || open.size === 0) return;
    checking = true;
    recheck()
      .catch(() => undefined)
      .finally(() => {
        checking = false;
      });
  }, RECHECK_MS);
  timer.unref();

  return {
    start,
    /** The client's socket has closed. */
    ended(exchange: Exchange): void {
      open.delete(exchange);
      closed(exchange);
    },
    get count() {
      return open.size;
    },
    close(): void {
      clearInterval(timer);
      for (const exchange of open) exchange.socket.destroy();
    },
  };
}

export type Upgrades = ReturnType<typeof createUpgrades>;

/** The upstream's handshake, without what only the gateway may say. */
function handshakeHeaders({ headers }: IncomingMessage, requestId: string): Record<string, string | string[]> {
  const { connection: _, upgrade = 'websocket', ...rest } = headers;
  return { ...asRecord(answerHeaders(rest)), connection: 'Upgrade', upgrade, 'x-request-id': requestId };
}

function asRecord(flat: readonly string[]): Record<string, string | string[]> {
  const record: Record<string, string | string[]> = {};
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    const value = flat[i + 1] as string;
    const before = record[name];
    if (before === undefined) record[name] = value;
    else record[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return record;
}
