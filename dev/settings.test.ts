import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { isSecret, loadConfig } from '@gatehouse/kit/config';
import { describe, expect, test } from '@jest/globals';
import type { z } from 'zod';
import { Config as GatewayConfig } from '../gateway/src/config.ts';
import { Config as NginxConfig } from '../nginx/settings.ts';
import { Config as AuditConfig } from '../services/audit/src/config.ts';
import { Config as AuthConfig } from '../services/auth/src/config.ts';
import { Config as OrgConfig } from '../services/org/src/config.ts';
import { Config as WorkerConfig } from '../services/worker/src/config.ts';
import { readSettings, type Settings, withFreePorts } from './src/settings.ts';

const ROOT = join(import.meta.dirname, '..');
const ENVIRONMENTS = ['development', 'staging', 'production'] as const;
const SCHEMAS: Record<string, z.ZodObject> = {
  auth: AuthConfig,
  org: OrgConfig,
  audit: AuditConfig,
  worker: WorkerConfig,
  gateway: GatewayConfig,
  nginx: NginxConfig,
};
// A process tells others where it is, and nothing reads its own address from the settings.
const READ_BY_TOOLS = ['GATEWAY_URL'];
// Beside those that the Compose file names.
const READ_BY_DEPLOYER = ['BAKE_SECONDS', 'DEPLOY_WITHOUT', 'SENTRY_ORGANIZATION', 'SENTRY_PROJECT', 'SENTRY_URL'];

const linesOf = (name: string) => readFileSync(join(ROOT, `.env.${name}`), 'utf8').split('\n');
const keysOf = (name: string) => linesOf(name).flatMap((line) => /^([A-Z][A-Z0-9_]*)=/.exec(line)?.[1] ?? []);
const settingsOf = (name: string) => parseEnv(linesOf(name).join('\n')) as Settings;
const secretsOf = (schema: z.ZodObject) => Object.keys(schema.shape).filter((key) => isSecret(schema.shape[key]));

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEYS: Settings = {
  IDENTITY_PRIVATE_KEY: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  IDENTITY_PUBLIC_KEYS: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
};
const secretFor = (key: string) => (key === 'SENTRY_DSN' ? undefined : randomBytes(36).toString('base64url'));

describe('the settings of the environments', () => {
  test('have the same keys and comments in the same order, each key once', () => {
    const shape = (name: string) => linesOf(name).map((line) => line.replace(/=.*/, '='));

    for (const name of ENVIRONMENTS) {
      expect(shape(name)).toEqual(shape('development'));
      expect(new Set(keysOf(name)).size).toBe(keysOf(name).length);
    }
  });

  test('are read by somebody, every one of them', () => {
    const compose = readFileSync(join(ROOT, 'docker-compose.production.yml'), 'utf8');
    const read = new Set([
      ...Object.values(SCHEMAS).flatMap(({ shape }) => Object.keys(shape)),
      ...Array.from(compose.matchAll(/\$\{([A-Z0-9_]+)/g), ([, name]) => name),
      ...READ_BY_TOOLS,
      ...READ_BY_DEPLOYER,
    ]);

    expect(keysOf('development').filter((key) => !read.has(key))).toEqual([]);
  });

  test('hold no secret', () => {
    const secrets = Object.values(SCHEMAS).flatMap(secretsOf);

    expect(keysOf('development').filter((key) => secrets.includes(key))).toEqual([]);
  });

  test.each(ENVIRONMENTS.flatMap((name) => Object.keys(SCHEMAS).map((process) => [name, process] as const)))(
    'of %s satisfy %s without a default',
    (name, process) => {
      const schema = SCHEMAS[process] as z.ZodObject;
      const secrets = Object.fromEntries(secretsOf(schema).map((key) => [key, secretFor(key)]));

      expect(() => loadConfig(schema, { ...settingsOf(name), ...secrets, ...KEYS })).not.toThrow();
      const settings = Object.keys(schema.shape).filter((key) => !(key in secrets) && !(key in KEYS));
      expect(settings.filter((key) => !keysOf(name).includes(key))).toEqual([]);
    },
  );

  test('of production and staging are meant for the world', () => {
    for (const name of ['staging', 'production']) {
      const settings = settingsOf(name);
      expect(settings).toMatchObject({ ENVIRONMENT: name, DATABASE_TLS: 'on', BIND_ADDRESS: '0.0.0.0' });
      expect(JSON.stringify(settings)).not.toMatch(/localhost|127\.0\.0\.1/);
      expect(Number(settings['SHUTDOWN_GRACE_MS'])).toBeGreaterThanOrEqual(1_000);
      expect(settings['SMTP_SECURITY']).not.toBe('none');
    }
  });
});

describe('the settings of a local platform', () => {
  test('follow the environment, and addresses follow their ports', () => {
    const settings = readSettings(ROOT, { AUTH_PORT: '5001', NGINX_HTTPS_PORT: '9443', PATH: '/bin' });

    expect(settings).toMatchObject({ AUTH_URL: 'http://127.0.0.1:5001', PUBLIC_URL: 'https://localhost:9443' });
    expect(settings).not.toHaveProperty('PATH');
  });

  test('an address that is given stays as it is', () => {
    expect(readSettings(ROOT, { PUBLIC_URL: 'https://gate.test' }, {})['PUBLIC_URL']).toBe('https://gate.test');
    expect(readSettings(ROOT, {}, { ORG_URL: 'http://10.0.0.1:1' })['ORG_URL']).toBe('http://10.0.0.1:1');
  });

  test('may use free ports throughout', async () => {
    const fixed = readSettings(ROOT, {});
    const free = await withFreePorts(fixed);

    // What a deployment publishes is none of its business.
    const ports = Object.keys(fixed).filter((key) => key.endsWith('_PORT') && !key.startsWith('PUBLISH_'));
    for (const key of ports) expect([key, free[key]]).not.toEqual([key, fixed[key]]);
    expect(new Set(ports.map((key) => free[key])).size).toBe(ports.length);
    expect(free['GATEWAY_URL']).toBe(`http://127.0.0.1:${free['GATEWAY_PORT']}`);
    expect(free['UPSTREAMS']).not.toContain('4010');
    expect(free['REDIS_URL']).not.toContain('4079');
  });
});
