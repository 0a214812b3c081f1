import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

export interface HttpOptions {
  /** What paths are appended to: `http://10.80.0.21:4000`. */
  url: string;
  /** The name that is meant, where the address says another: Host header, and TLS server name. */
  host?: string | undefined;
  /** Path of a certificate that counts beside the usual authorities. */
  ca?: string | undefined;
  /** SHA-256 of the one certificate that counts, whoever signed it, as `X509Certificate.fingerprint256` writes it. */
  fingerprint?: string | undefined;
  headers?: Readonly<Record<string, string>>;
  timeoutMs?: number;
  maxSockets?: number;
}

export interface Call {
  method: string;
  path: string;
  body?: unknown;
  token?: string | undefined;
  headers?: Readonly<Record<string, string>>;
}

export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The parsed JSON; an empty object when the answer is not JSON. */
  body: T;
  /** By which the platform's logs know it; empty where the answer names none. */
  requestId: string;
}

export interface Http {
  /** Rejects when there is no answer, never because of what it says. */
  send<T = Record<string, unknown>>(call: Call): Promise<Answer<T>>;
  close(): void;
}

const TIMEOUT_MS = 10_000;

/** A client for one base URL that keeps its connections. */
export function openHttp(options: HttpOptions): Http {
  const { url, host, headers: always = {}, timeoutMs = TIMEOUT_MS, maxSockets = 32 } = options;
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === 'https:';
  const agent = secure ? tlsAgent(options, host ?? hostname) : new HttpAgent({ keepAlive: true, maxSockets });
  const request = secure ? requestHttps : requestHttp;
  const bare = hostname.replace(/^\[(.*)\]$/, '$1');

  function send<T>({ method, path, body, token, headers = {} }: Call): Promise<Answer<T>> {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const all = {
      'user-agent': 'gatehouse-deploy',
      ...(host ? { host } : {}),
      ...always,
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(content === undefined ? {} : typed(content)),
      ...headers,
    };
    return new Promise((resolve, reject) => {
      const req = request({ agent, hostname: bare, port: port || undefined, method, path, headers: all }, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.once('error', fail);
        res.once('end', () => {
          clearTimeout(timer);
          const text = Buffer.concat(chunks).toString();
          const { statusCode: status = 0, headers: answered } = res;
          const requestId = String(answered['x-request-id'] ?? '');
          resolve({ status, headers: answered, text, body: parse(text, answered) as T, requestId });
        });
      });
      // Of the whole exchange: an answer that trickles in is none.
      const timer = setTimeout(() => req.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      function fail(error: Error) {
        clearTimeout(timer);
        reject(new Error(`${method} ${url}${path}: ${error.message || String(error)}`, { cause: error }));
      }
      req.once('error', fail);
      req.end(content);
    });
  }
  return { send, close: () => agent.destroy() };
}

const typed = (content: string) => ({
  'content-type': 'application/json',
  'content-length': String(Buffer.byteLength(content)),
});

function tlsAgent({ ca, fingerprint, maxSockets = 32 }: HttpOptions, servername: string): HttpsAgent {
  const trusted = ca === undefined ? {} : { ca: readFileSync(ca) };
  // An address is no server name (RFC 6066, section 3).
  const named = isIP(servername) ? {} : { servername };
  const agent = new HttpsAgent({ keepAlive: true, maxSockets, ...named, ...trusted, maxCachedSessions: 0 });
  if (fingerprint !== undefined) agent.createConnection = pinned(fingerprint);
  return agent;
}

type Connecting = (error: Error | null, socket?: TLSSocket) => void;

/** Connects to whoever shows the one certificate; nothing is sent to anybody else. */
function pinned(fingerprint: string): HttpsAgent['createConnection'] {
  const open = (options: ConnectionOptions, done: Connecting) => {
    const socket = connect({ ...options, rejectUnauthorized: false });
    socket.once('error', done);
    socket.once('secureConnect', () => {
      const shown = socket.getPeerCertificate().fingerprint256;
      socket.removeListener('error', done);
      if (shown === fingerprint) return done(null, socket);
      socket.destroy();
      done(new Error(`another certificate is served: ${shown} and not ${fingerprint}`));
    });
    return undefined;
  };
  return open as unknown as HttpsAgent['createConnection'];
}

function parse(text: string, headers: IncomingHttpHeaders): unknown {
  if (!/json/.test(headers['content-type'] ?? '')) return {};
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
