import { createServer, type RequestListener } from 'node:http';

export interface Listening {
  url: string;
  port: number;
  close(): Promise<void>;
}

/** Serves an app on a free port of 127.0.0.1. */
export async function listen(app: RequestListener): Promise<Listening> {
  const server = createServer(app);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever an answer holds and says itself what it expects.
  body: any;
}

type Send = (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

export interface Client {
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  post: Send;
  put: Send;
  patch: Send;
  delete: Send;
  /** The same client with further headers. */
  with(headers: Record<string, string>): Client;
}

/** A small HTTP client: JSON in and out, redirects not followed, no status thrown. */
export function client(url: string, base: Record<string, string> = {}): Client {
  const send = async (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(url + path, {
      method,
      redirect: 'manual',
      headers: { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...base, ...headers },
      ...(text === undefined ? {} : { body: text }),
    });
    return {
      status: response.status,
      headers: response.headers,
      body: parsed(await response.text(), response.headers),
    };
  };
  return {
    get: (path, headers) => send('GET', path, undefined, headers),
    post: (path, body, headers) => send('POST', path, body, headers),
    put: (path, body, headers) => send('PUT', path, body, headers),
    patch: (path, body, headers) => send('PATCH', path, body, headers),
    delete: (path, body, headers) => send('DELETE', path, body, headers),
    with: (headers) => client(url, { ...base, ...headers }),
  };
}

function parsed(text: string, headers: Headers): unknown {
  if (!/json/.test(headers.get('content-type') ?? '') || text === '') return text === '' ? undefined : text;
  return JSON.parse(text);
}
