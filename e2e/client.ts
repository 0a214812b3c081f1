import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';

export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The parsed JSON; an empty object when the answer is not JSON. */
  body: T;
}

export interface Call {
  method: string;
  /** Sent exactly as it stands, however odd. */
  path: string;
  body?: unknown;
  /** Sent as the body, as it stands, in place of `body`. */
  raw?: string | Buffer;
  headers?: Record<string, string | string[]>;
  token?: string | undefined;
}

export interface ClientOptions {
  url: string;
  /** The certificate of the authority to trust, in PEM form; nothing else is trusted. */
  ca: string;
  /** A loopback address to call from (Linux has all of 127/8): limits count by address. */
  from?: string;
  token?: string | undefined;
  /** What it says of itself. */
  agent?: string;
  /** False: a connection of its own for each request. */
  keepAlive?: boolean;
  /** What to do when a limit says "later": told the seconds, and waited for. Undefined: hand the 429 back. */
  onLimited?: (seconds: number, call: Call) => void;
  /** Sees every exchange. */
  onExchange?: (call: Call, answer: Answer<unknown>) => void;
}

export interface Client {
  readonly url: string;
  readonly token: string | undefined;
  send<T = Record<string, unknown>>(call: Call): Promise<Answer<T>>;
  get<T = Record<string, unknown>>(path: string, headers?: Call['headers']): Promise<Answer<T>>;
  post<T = Record<string, unknown>>(path: string, body?: unknown, headers?: Call['headers']): Promise<Answer<T>>;
  patch<T = Record<string, unknown>>(path: string, body?: unknown, headers?: Call['headers']): Promise<Answer<T>>;
  delete<T = Record<string, unknown>>(path: string, headers?: Call['headers']): Promise<Answer<T>>;
  /** The same connections with another credential. */
  as(token: string | undefined): Client;
  close(): void;
}

const TRIES = 8;
// What an account's guesses have used up comes back in minutes: nobody waits for that.
const PATIENCE_SECONDS = 60;
const TIMEOUT_MS = 15_000;

/** A client that trusts one authority, keeps its connections and sends paths as they are given. */
export function openClient(options: ClientOptions): Client {
  const { ca, from, keepAlive = true } = options;
  const agent = new Agent({ ca, keepAlive, maxSockets: 16, ...(from ? { localAddress: from, family: 4 } : {}) });
  return clientOn(agent, options);
}

function clientOn(agent: Agent, options: ClientOptions): Client {
  const { url, token, onLimited, onExchange, agent: name = 'gatehouse-demo' } = options;

  async function send<T>(call: Call): Promise<Answer<T>> {
    for (let attempt = 1; ; attempt++) {
      const answer = await exchange<T>(agent, url, {
        token,
        ...call,
        headers: { 'user-agent': name, ...call.headers },
      });
      onExchange?.({ token, ...call }, answer);
      const seconds = Number(answer.headers['retry-after'] ?? 1);
      if (answer.status !== 429 || !onLimited || attempt === TRIES || seconds > PATIENCE_SECONDS) return answer;
      onLimited(seconds, call);
      await delay(seconds * 1000);
    }
  }

  return {
    url,
    token,
    send,
    get: (path, headers = {}) => send({ method: 'GET', path, headers }),
    post: (path, body, headers = {}) => send({ method: 'POST', path, body, headers }),
    patch: (path, body, headers = {}) => send({ method: 'PATCH', path, body, headers }),
    delete: (path, headers = {}) => send({ method: 'DELETE', path, headers }),
    as: (other) => clientOn(agent, { ...options, token: other }),
    close: () => agent.destroy(),
  };
}

function exchange<T>(agent: Agent, url: string, call: Call): Promise<Answer<T>> {
  const { method, path, token } = call;
  const content = call.raw ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  const headers = {
    ...(token ? { authorization: `Bearer ${token}` } : {}),
    ...(content === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
    ...call.headers,
  };
  const { hostname, port } = new URL(url);
  // Else node takes the name to verify from a Host header that a test makes up.
  const target = { agent, hostname, servername: hostname, port: port || 443 };
  return new Promise((resolve, reject) => {
    const req = request({ ...target, method, path, headers, timeout: TIMEOUT_MS }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.once('error', reject);
      res.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text, body: parse(text, res.headers) as T });
      });
    });
    req.once('timeout', () => req.destroy(new Error(`${method} ${path}: no answer within ${TIMEOUT_MS} ms`)));
    req.once('error', reject);
    req.end(content);
  });
}

function parse(text: string, headers: IncomingHttpHeaders): unknown {
  if (!/json/.test(headers['content-type'] ?? '')) return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`not JSON, though it says so: ${text.slice(0, 200)}`);
  }
}
