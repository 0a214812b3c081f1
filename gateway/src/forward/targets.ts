import { Pool } from 'undici';
import { type Circuit, createCircuit } from '../circuit/circuit.ts';
import { createPatientConnector } from './patient-connect.ts';

/** How long a process that refused a connection is passed over while another one is there. */
const DOWN_MS = 1_000;

export interface Origin {
  url: string;
  pool: Pool;
  /** Prefix of every path, without a trailing slash; mostly empty. */
  basePath: string;
  downUntil: number;
}

/** A service or an upstream: one or more processes that answer alike. */
export interface Target {
  name: string;
  /** Our own service, or an application behind us. */
  service: boolean;
  origins: Origin[];
  next: number;
  circuit: Circuit;
  inFlight: number;
  /** How many requests may be under way or wait for a connection; and how many of them when they are small. */
  maxInFlight: number;
  maxSmallInFlight: number;
  /** How long a request may wait for a connection. */
  queueTimeoutMs: number;
}

/** The one target that sessions in cookies are for: it alone is sent our cookies, and it alone sets them. */
export function keepsSessions({ service, name }: Target): boolean {
  return service && name === 'auth';
}

export interface TargetSettings {
  /** Until the head of the answer is there. */
  timeoutMs: number;
  /** Between two pieces of the answer's body. */
  idleTimeoutMs: number;
  connections: number;
}

interface TargetOptions extends TargetSettings {
  name: string;
  service: boolean;
  urls: readonly string[];
}

// For each connection one request under way and seven that wait: a burst passes in the time of a few answers. What
// waits too long is given up (sweep.ts).
const QUEUE_FACTOR = 8;
// Before our own services small requests find more room: after a restart all clients refresh their tokens at once, 5,000
// of them and more. Auth serves some hundred refreshes a second and core, so that what could be served within ten
// seconds waits, and what could not is told to come again. A request that waits holds what it has sent, hence small.
const SMALL_QUEUE_FACTOR = 64;
const SERVICE_QUEUE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;

export function createTarget({ name, service, urls, timeoutMs, idleTimeoutMs, connections }: TargetOptions): Target {
  const origins = urls.map((text): Origin => {
    const url = new URL(text);
    const connectTimeout = Math.min(CONNECT_TIMEOUT_MS, timeoutMs);
    const pool = new Pool(url.origin, {
      connections,
      pipelining: 1,
      ...(service ? { connect: createPatientConnector({ timeoutMs }).connect } : { connectTimeout }),
      headersTimeout: timeoutMs,
      bodyTimeout: idleTimeoutMs,
      allowH2: false,
    });
    return { url: url.origin, pool, basePath: url.pathname.replace(/\/$/, ''), downUntil: 0 };
  });
  return {
    name,
    service,
    origins,
    next: 0,
    circuit: createCircuit(),
    inFlight: 0,
    maxInFlight: connections * origins.length * QUEUE_FACTOR,
    maxSmallInFlight: connections * origins.length * (service ? SMALL_QUEUE_FACTOR : QUEUE_FACTOR),
    queueTimeoutMs: service ? Math.min(SERVICE_QUEUE_MS, timeoutMs) : timeoutMs,
  };
}

/** The next process in turn that did not refuse its connection a moment ago; the next one anyway when all did. */
export function pickOrigin(target: Target, nowMs: number): Origin {
  const { origins } = target;
  for (let i = 0; i < origins.length; i++) {
    const origin = origins[target.next++ % origins.length] as Origin;
    if (origin.downUntil <= nowMs) return origin;
  }
  return origins[target.next++ % origins.length] as Origin;
}

export function markDown(origin: Origin, nowMs: number): void {
  origin.downUntil = nowMs + DOWN_MS;
}
