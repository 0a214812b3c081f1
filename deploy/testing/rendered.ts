import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { ENVIRONMENTS, type Environment } from '../src/places.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
export const FILE = join(ROOT, 'docker-compose.production.yml');
export const BLUE = 'b'.repeat(12);
export const GREEN = 'a'.repeat(12);
export const STATE = '/state';

/** A service of `docker compose config --format json`, as far as tests look at it. */
export interface Service {
  image: string;
  user?: string;
  profiles?: string[];
  read_only?: boolean;
  cap_add?: string[];
  cap_drop?: string[];
  security_opt?: string[];
  init?: boolean;
  pids_limit?: number;
  cpus?: number;
  mem_limit?: string;
  mem_reservation?: string;
  ulimits?: Record<string, { soft?: number; hard?: number }>;
  restart?: string;
  logging?: unknown;
  tmpfs?: string[];
  ports?: { host_ip?: string; published?: string; target: number }[];
  volumes?: { type: string; source: string; target: string; read_only?: boolean }[];
  secrets?: { source: string; target?: string }[];
  networks: Record<string, { ipv4_address?: string } | null>;
  environment?: Record<string, string | null>;
  command?: string[] | null;
  healthcheck?: {
    test?: string[];
    interval?: string;
    timeout?: string;
    retries?: number;
    start_interval?: string;
    disable?: boolean;
  };
  depends_on?: Record<string, { condition: string }>;
  stop_signal?: string;
  stop_grace_period?: string;
  scale?: number;
  [key: string]: unknown;
}

export interface Rendered {
  name: string;
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean }>;
  secrets: Record<string, { file: string }>;
}

/** What the file becomes with the settings of an environment; `variables` beat them, and `undefined` leaves one out. */
export function compose(environment: Environment, variables: Record<string, string | undefined> = {}) {
  const own = { STATE_DIR: STATE, BLUE_REVISION: BLUE, GREEN_REVISION: GREEN, DATABASE_IMAGE_TAG: 'd'.repeat(12) };
  const settings = parseEnv(readFileSync(join(ROOT, `.env.${environment}`), 'utf8'));
  const path = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  const env = Object.fromEntries(
    Object.entries({ ...path, ...settings, ...own, ...variables }).filter(([, value]) => value !== undefined),
  ) as Record<string, string>;
  const args = ['compose', '-f', FILE, '--profile', '*', 'config', '--format', 'json'];
  return spawnSync('docker', args, { env, encoding: 'utf8', cwd: ROOT });
}

export function render(environment: Environment): Rendered {
  const { status, stdout, stderr } = compose(environment);
  if (status !== 0 || stderr !== '') throw new Error(`docker compose config for ${environment}: ${stderr}`);
  return JSON.parse(stdout) as Rendered;
}

/** The file as each environment gets it. */
export const RENDERED = Object.fromEntries(ENVIRONMENTS.map((name) => [name, render(name)])) as Record<
  Environment,
  Rendered
>;
export const SERVICES = Object.keys(RENDERED.production.services).sort();

/** `auth-blue` and `gateway-2-green` as `auth` and `gateway`. */
export function processOf(service: string): string {
  return service.replace(/(-\d)?-(blue|green)$/, '');
}
