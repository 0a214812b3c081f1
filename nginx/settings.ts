import { z } from 'zod';

/** What one nginx needs to know: the settings of the environment and the places of the machine it runs on. */
export interface NginxSettings {
  environment: string;
  /** Addresses to listen on, IPv6 in brackets. */
  addresses: readonly string[];
  httpPort: number;
  httpsPort: number;
  /** The port of the public address, which redirects name. */
  publicPort: number;
  serverNames: readonly string[];
  /** host:port of every gateway. */
  gateways: readonly string[];
  certificate: string;
  certificateKey: string;
  /** Rates as nginx writes them: 10r/s, 5r/m; a burst is how many may come at once beyond the first. */
  apiRate: string;
  apiBurst: number;
  loginRate: string;
  loginBurst: number;
  bodyLimit: string;
  streamBodyLimit: string;
  /** Longer than the gateway's own limit, so that its answer and not ours reaches the client. */
  proxyTimeout: string;
  streamTimeout: string;
  clientTimeout: string;
  clientKeepalive: string;
  upstreamKeepalive: string;
  /** host:port of the listener for operators, and networks that may use it beside the machine itself. */
  opsListen: string;
  opsAllow: readonly string[];
  runDir: string;
  tempDir: string;
  /** Where the files `draining` and `maintenance` appear; the workers look on every request. */
  flagsDir: string;
  accessLog: string;
  accessLogBuffer?: string;
  errorLog: string;
  workers: number | 'auto';
  /** Whom the workers run as when the master is root. */
  user?: { name: string; group: string };
  /** nginx before 1.25.1 takes `http2` in `listen`, later ones as a directive. */
  http2: 'listen' | 'directive' | 'off';
}

const names = z.string().transform((value) => value.split(/[\s,]+/).filter(Boolean));
const size = z.string().regex(/^\d+[km]?$/, 'is a size such as 512k or 10m');
const rate = z.string().regex(/^[1-9]\d*r\/[sm]$/, 'is a rate such as 10r/s or 5r/m');
const port = z.coerce.number().int().min(1).max(65535);
const burst = z.coerce.number().int().min(0);

/** The settings of nginx in `.env.*`. */
export const Config = z.object({
  ENVIRONMENT: z.enum(['development', 'staging', 'production']),
  PUBLIC_URL: z.url({ protocol: /^https$/ }),
  BIND_ADDRESS: z.string(),
  SERVER_NAME: names.refine((value) => value.length > 0, 'names at least one host'),
  NGINX_HTTP_PORT: port,
  NGINX_HTTPS_PORT: port,
  NGINX_OPS_PORT: port,
  NGINX_API_RATE: rate,
  NGINX_API_BURST: burst,
  NGINX_LOGIN_RATE: rate,
  NGINX_LOGIN_BURST: burst,
  NGINX_BODY_LIMIT: size,
  NGINX_PROXY_BODY_LIMIT: size,
  UPSTREAM_TIMEOUT_MS: z.coerce.number().int().positive(),
});
export type Config = z.output<typeof Config>;

/** Settings without what only the start of nginx finds out. */
export type NginxOptions = Omit<NginxSettings, 'runDir' | 'tempDir' | 'flagsDir' | 'http2' | 'user'>;

type Places = Pick<
  NginxOptions,
  'addresses' | 'gateways' | 'certificate' | 'certificateKey' | 'accessLog' | 'errorLog'
> &
  Partial<NginxOptions>;

/** Joins the settings with the places of the machine; a place may also override a setting. */
export function nginxSettings(config: Config, places: Places): NginxOptions {
  const publicPort = Number(new URL(config.PUBLIC_URL).port || 443);
  return {
    environment: config.ENVIRONMENT,
    httpPort: config.NGINX_HTTP_PORT,
    httpsPort: config.NGINX_HTTPS_PORT,
    publicPort,
    serverNames: config.SERVER_NAME,
    apiRate: config.NGINX_API_RATE,
    apiBurst: config.NGINX_API_BURST,
    loginRate: config.NGINX_LOGIN_RATE,
    loginBurst: config.NGINX_LOGIN_BURST,
    bodyLimit: config.NGINX_BODY_LIMIT,
    streamBodyLimit: config.NGINX_PROXY_BODY_LIMIT,
    proxyTimeout: `${Math.ceil(config.UPSTREAM_TIMEOUT_MS / 1000) + 5}s`,
    streamTimeout: '1h',
    clientTimeout: '10s',
    clientKeepalive: '75s',
    upstreamKeepalive: '60s',
    opsListen: `${config.BIND_ADDRESS}:${config.NGINX_OPS_PORT}`,
    opsAllow: [],
    workers: 'auto',
    ...places,
  };
}
