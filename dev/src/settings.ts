import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { SetupError } from './setup-error.ts';

/** The flat settings of an environment, as in `.env.*`. */
export type Settings = Record<string, string>;

const OWN_PORTS = [
  'NGINX_HTTP_PORT',
  'NGINX_HTTPS_PORT',
  'NGINX_OPS_PORT',
  'DATABASE_PORT',
  'SMTP_PORT',
  ...['GATEWAY', 'AUTH', 'ORG', 'AUDIT', 'WORKER'].flatMap((name) => [`${name}_PORT`, `${name}_OPS_PORT`]),
] as const;
/** Ports that only a local platform has. */
const LOCAL = { MAILBOX_PORT: '4026' };
// Addresses that contain a port: the port's setting, and how the address is written.
const ADDRESSES: Record<string, [port: string, address: (port: string) => string]> = {
  PUBLIC_URL: ['NGINX_HTTPS_PORT', (port) => `https://localhost:${port}`],
  GATEWAY_URL: ['GATEWAY_PORT', local],
  AUTH_URL: ['AUTH_PORT', local],
  ORG_URL: ['ORG_PORT', local],
  AUDIT_URL: ['AUDIT_PORT', local],
  WORKER_URL: ['WORKER_PORT', local],
};

function local(port: string): string {
  return `http://127.0.0.1:${port}`;
}

/** `.env.development` overridden by the environment's variables of the same names, and those by `overrides`. */
export function readSettings(root: string, env: NodeJS.ProcessEnv, overrides: Settings = {}): Settings {
  const file = parseEnv(readFileSync(join(root, '.env.development'), 'utf8')) as Settings;
  const base: Settings = { ...file, ...LOCAL };
  const given: Settings = { ...pick(env, Object.keys(base)), ...overrides };
  return { ...base, ...addressesFor({ ...base, ...given }, given), ...given };
}

/** The same settings with every port of the platform replaced by a free one. */
export async function withFreePorts(settings: Settings): Promise<Settings> {
  const names = [...OWN_PORTS, 'MAILBOX_PORT'];
  const ports = await freePorts(names.length + 2);
  const [redis, upstream] = ports.splice(0, 2);
  const chosen: Settings = Object.fromEntries(names.map((name, index) => [name, String(ports[index])]));
  return {
    ...settings,
    ...chosen,
    ...addressesFor({ ...settings, ...chosen }, {}),
    REDIS_URL: `redis://127.0.0.1:${redis}`,
    UPSTREAMS: settings['UPSTREAMS']?.replace(/(^|,)example=[^,]*/, `$1example=http://127.0.0.1:${upstream}`) ?? '',
  };
}

/** Which setting asks for which port: what must be free before anything is started. */
export function portsOf(settings: Settings): Map<number, string> {
  const ports = new Map<number, string>();
  const mistakes: string[] = [];
  const add = (name: string, value: string | undefined) => {
    const port = Number(value);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) mistakes.push(`${name}: ${value} is not a port`);
    else if (ports.has(port)) mistakes.push(`${name}: port ${port} is taken by ${ports.get(port)}`);
    ports.set(port, name);
  };
  for (const name of [...OWN_PORTS, ...Object.keys(LOCAL)]) add(name, settings[name]);
  const redis = settings['REDIS_URL'] ?? '';
  if (URL.canParse(redis)) add('REDIS_URL', new URL(redis).port || '6379');
  else mistakes.push(`REDIS_URL: ${redis} is not an address`);
  const example = exampleUpstream(settings);
  if (example) add('UPSTREAMS', example.port);
  if (mistakes.length > 0) throw new SetupError(`The settings are wrong: ${mistakes.join('; ')}.`);
  return ports;
}

/** The address of the example application, where the settings have it on this machine. */
export function exampleUpstream(settings: Settings): URL | undefined {
  const address = /(?:^|,)\s*example=([^,]+)/.exec(settings['UPSTREAMS'] ?? '')?.[1];
  const url = address && URL.canParse(address) ? new URL(address) : undefined;
  return url && /^(127\.0\.0\.1|localhost)$/.test(url.hostname) ? url : undefined;
}

// Below the range from which systems take the near ends of connections: a port of that range, free a moment ago, may
// be somebody's connection by the time that it is listened on.
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;
const handedOut = new Set<number>();

/** Ports that were free a moment ago, all different, and none that this process was given before. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST_PORT + randomInt(LAST_PORT - FIRST_PORT);
    if (handedOut.has(port)) continue;
    // Taken before it is tried: others look for ports at the same time.
    handedOut.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function addressesFor(settings: Settings, given: Settings): Settings {
  const addresses: Settings = {};
  for (const [name, [port, address]] of Object.entries(ADDRESSES))
    if (!given[name]) addresses[name] = address(settings[port] ?? '');
  return addresses;
}

function pick(env: NodeJS.ProcessEnv, names: readonly string[]): Settings {
  const picked: Settings = {};
  for (const name of names) {
    const value = env[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
