import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderErrors } from './errors.ts';
import type { NginxSettings } from './settings.ts';

const TEMPLATES = join(import.meta.dirname, 'templates');
const SUFFIX = '.template';
// What could end a directive and begin another.
const UNSAFE = /[\s;{}'"\\$#]/;

/** The configuration as file name -> text. `nginx.conf` is the one to start nginx with; the others lie beside it. */
export function renderNginx(settings: NginxSettings): Record<string, string> {
  const values = templateValues(settings);
  const files: Record<string, string> = {
    'errors.conf': renderErrors(),
    'upstream.conf': renderUpstream(settings.gateways),
  };
  for (const name of readdirSync(TEMPLATES).filter((file) => file.endsWith(SUFFIX)))
    files[name.slice(0, -SUFFIX.length)] = fill(name, readFileSync(join(TEMPLATES, name), 'utf8'), values);
  return files;
}

/** The addresses of the gateway: the one file that a deploy replaces before it reloads nginx. */
export function renderUpstream(gateways: readonly string[]): string {
  return gateways.map((address) => `server ${safe(address)} max_fails=3 fail_timeout=2s;\n`).join('');
}

function fill(name: string, template: string, values: Record<string, string>): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`${name} asks for {{${key}}}, which no setting gives`);
    return value;
  });
}

function templateValues(settings: NginxSettings): Record<string, string> {
  const { httpPort, httpsPort, publicPort, user, serverNames, opsAllow, http2 } = settings;
  const api = rateOf(settings.apiRate);
  const login = rateOf(settings.loginRate);
  const listen = (port: number, options = '') =>
    settings.addresses.map((address) => `  listen ${safe(address)}:${port}${options};`).join('\n');
  const tls = http2 === 'listen' ? ' ssl http2' : ' ssl';
  const http2Line = http2 === 'directive' ? '\n  http2 on;' : '';
  return {
    user: user ? `user ${safe(user.name)} ${safe(user.group)};` : '',
    serverNames: serverNames.map(safe).join(' '),
    httpListen: listen(httpPort),
    httpDefaultListen: listen(httpPort, ' default_server'),
    httpsListen: listen(httpsPort, tls) + http2Line,
    httpsDefaultListen: listen(httpsPort, `${tls} default_server`) + http2Line,
    publicPort: String(publicPort),
    publicPortSuffix: publicPort === 443 ? '' : `:${publicPort}`,
    opsAllow: opsAllow.map((network) => `  allow ${safe(network)};`).join('\n'),
    apiQuota: String(api.quota),
    apiWindow: String(api.windowSeconds),
    apiRetry: String(api.retrySeconds),
    loginQuota: String(login.quota),
    loginWindow: String(login.windowSeconds),
    loginRetry: String(login.retrySeconds),
    // A buffer would hold the last lines back from whoever reads along; under load it saves a write per request.
    accessLogOptions: settings.accessLogBuffer ? ` buffer=${safe(settings.accessLogBuffer)} flush=1s` : '',
    ...plain(settings),
  };
}

/** Settings that stand in the templates as they are. */
function plain(settings: NginxSettings): Record<string, string> {
  const { apiBurst, loginBurst, workers } = settings;
  const texts = {
    environment: settings.environment,
    runDir: settings.runDir,
    tempDir: settings.tempDir,
    flagsDir: settings.flagsDir,
    accessLog: settings.accessLog,
    errorLog: settings.errorLog,
    certificate: settings.certificate,
    certificateKey: settings.certificateKey,
    opsListen: settings.opsListen,
    apiRate: settings.apiRate,
    loginRate: settings.loginRate,
    apiBurst: String(apiBurst),
    loginBurst: String(loginBurst),
    workers: String(workers),
    bodyLimit: settings.bodyLimit,
    streamBodyLimit: settings.streamBodyLimit,
    proxyTimeout: settings.proxyTimeout,
    streamTimeout: settings.streamTimeout,
    clientTimeout: settings.clientTimeout,
    clientKeepalive: settings.clientKeepalive,
    upstreamKeepalive: settings.upstreamKeepalive,
  };
  return Object.fromEntries(Object.entries(texts).map(([key, value]) => [key, safe(value)]));
}

function safe(value: string): string {
  if (value === '' || UNSAFE.test(value))
    throw new Error(`not usable in an nginx configuration: ${JSON.stringify(value)}`);
  return value;
}

/** `5r/m` -> five in 60 seconds, the next one after 12. */
function rateOf(rate: string): { quota: number; windowSeconds: number; retrySeconds: number } {
  const [, quota, unit] = /^([1-9]\d{0,6})r\/([sm])$/.exec(rate) ?? [];
  if (!quota) throw new Error(`a rate is written 10r/s or 5r/m, not ${JSON.stringify(rate)}`);
  const windowSeconds = unit === 's' ? 1 : 60;
  return { quota: Number(quota), windowSeconds, retrySeconds: Math.ceil(windowSeconds / Number(quota)) };
}
