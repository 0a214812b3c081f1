import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
} from 'node:http';
import { Agent, request } from 'node:https';
import { connect as netConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { type Certificates, ensureCertificates } from '../dev/src/certificates.ts';
import { listenAddresses, type RunningNginx, startNginx } from '../dev/src/nginx.ts';
import { freePorts } from '../dev/src/settings.ts';
import type { NginxOptions } from './settings.ts';

/** A request as the gateway would have got it. */
export interface Captured {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  names: string[];
  body: string;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Send {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  localAddress?: string;
  agent?: Agent;
}

export interface Edge {
  nginx: RunningNginx;
  certificates: Certificates;
  ca: string;
  httpPort: number;
  httpsPort: number;
  opsPort: number;
  upstreamPort: number;
  /** What reached the gateway's place, oldest first. */
  captured: Captured[];
  /** How many connections nginx opened to it. */
  connections(): number;
  accessLog(): Record<string, unknown>[];
  send(path: string, options?: Send): Promise<Answer>;
  sendPlain(path: string, options?: Send): Promise<Answer>;
  /** Sends bytes as they are over TLS and reads until the server closes, or for a second. */
  raw(bytes: string | Buffer, options?: ConnectionOptions): Promise<string>;
  stop(): Promise<void>;
}

export interface EdgeOptions {
  settings?: Partial<NginxOptions>;
  /** Answers in place of the echo. */
  upstream?: RequestListener;
  /** Sees a request before its body has arrived. */
  onRequest?: (req: IncomingMessage) => void;
  runAs?: { uid: number; gid: number };
  amend?: (files: Record<string, string>) => void;
}

const OPEN_LIMITS = { apiRate: '100000r/s', apiBurst: 100_000, loginRate: '100000r/s', loginBurst: 100_000 };

/** A real nginx from the templates on free ports, in front of a server that captures what reaches it. */
export async function startEdge({ settings, upstream, onRequest, runAs, amend }: EdgeOptions = {}): Promise<Edge> {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-edge-'));
  if (runAs) chownSync(dir, runAs.uid, runAs.gid);
  chmodSync(dir, 0o755);
  const certificates = await ensureCertificates(join(dir, 'certificates'), ['localhost', '127.0.0.1']);
  if (runAs) for (const path of [join(dir, 'certificates'), certificates.key]) chownSync(path, runAs.uid, runAs.gid);
  const [httpPort = 0, httpsPort = 0, opsPort = 0] = await freePorts(3);
  const captured: Captured[] = [];
  let connections = 0;
  const server = createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
    const chunks: Buffer[] = [];
    onRequest?.(req);
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = req;
      const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
      captured.push({ method, url, headers, names, body: Buffer.concat(chunks).toString() });
      if (upstream) return upstream(req, res);
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ url, marker: headers['x-marker'] ?? null }));
    });
  });
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: upstreamPort } = server.address() as { port: number };
  const options: NginxOptions = {
    environment: 'development',
    addresses: listenAddresses('127.0.0.1'),
    httpPort,
    httpsPort,
    publicPort: httpsPort,
    serverNames: ['localhost', 'api.localhost'],
    gateways: [`127.0.0.1:${upstreamPort}`],
    certificate: certificates.certificate,
    certificateKey: certificates.key,
    ...OPEN_LIMITS,
    bodyLimit: '1m',
    streamBodyLimit: '2m',
    proxyTimeout: '5s',
    streamTimeout: '10s',
    clientTimeout: '10s',
    clientKeepalive: '75s',
    upstreamKeepalive: '60s',
    opsListen: `127.0.0.1:${opsPort}`,
    opsAllow: [],
    accessLog: join(dir, 'access.log'),
    errorLog: join(dir, 'error.log'),
    workers: 2,
    ...settings,
  };
  const nginx = await startNginx(dir, options, { ...(runAs ? { runAs } : {}), ...(amend ? { amend } : {}) });
  const ca = readFileSync(certificates.ca, 'utf8');
  const agent = new Agent({ ca, keepAlive: false, servername: 'localhost' });
  return {
    nginx,
    certificates,
    ca,
    httpPort,
    httpsPort,
    opsPort,
    upstreamPort,
    captured,
    connections: () => connections,
    accessLog: () =>
      readFileSync(join(dir, 'access.log'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    send: (path, send = {}) => exchange(request, { port: httpsPort, path, agent, ...send }),
    sendPlain: (path, { agent: _, ...send } = {}) => exchange(httpRequest, { port: httpPort, path, ...send }),
    raw: (bytes, tls = {}) => rawExchange(bytes, { port: httpsPort, ca, ...tls }),
    async stop() {
      await nginx.stop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

type Exchange = Send & { port: number; path: string };

function exchange(via: typeof request, { body, headers = {}, ...options }: Exchange): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = via({ host: '127.0.0.1', ...options, headers: { host: 'localhost', ...headers } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString() }),
      );
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function rawExchange(bytes: string | Buffer, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', servername: 'localhost', ...options }, () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** Bytes over a plain connection. */
export function rawPlain(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = netConnect(port, '127.0.0.1', () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}
