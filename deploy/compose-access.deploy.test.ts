import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSecret } from '@gatehouse/kit/config';
import { describe, expect, test } from '@jest/globals';
import type { z } from 'zod';
import { Config as GatewayConfig } from '../gateway/src/config.ts';
import { Config as AuditConfig } from '../services/audit/src/config.ts';
import { Config as AuthConfig } from '../services/auth/src/config.ts';
import { Config as OrgConfig } from '../services/org/src/config.ts';
import { Config as WorkerConfig } from '../services/worker/src/config.ts';
import { ENVIRONMENTS } from './src/places.ts';
import { HOLDERS, SECRETS } from './src/secrets/catalogue.ts';
import {
  BLUE,
  compose,
  FILE,
  GREEN,
  processOf,
  RENDERED,
  ROOT,
  SERVICES,
  type Service,
  STATE,
} from './testing/rendered.ts';

const SCHEMAS: Record<string, z.ZodObject> = {
  auth: AuthConfig,
  org: OrgConfig,
  audit: AuditConfig,
  worker: WorkerConfig,
  gateway: GatewayConfig,
};
const { services, networks, secrets } = RENDERED.production;
const text = readFileSync(FILE, 'utf8');
const coloured = (...names: string[]) => names.flatMap((name) => [`${name}-blue`, `${name}-green`]);
const GATEWAYS = coloured('gateway-1', 'gateway-2');
const PROCESSES = [...coloured('auth', 'org', 'audit', 'worker'), ...GATEWAYS];
const on = (network: string) => SERVICES.filter((name) => network in (services[name] as Service).networks);
const reaches = (name: string) =>
  SERVICES.filter(
    (other) =>
      other !== name && Object.keys((services[name] as Service).networks).some((one) => on(one).includes(other)),
  );

describe('who can reach whom', () => {
  test.each<[string, string[], boolean]>([
    ['edge', ['nginx', ...GATEWAYS, 'nginx-exporter', 'blackbox-exporter'], false],
    ['app', [...PROCESSES, 'job'], true],
    [
      'data',
      [...PROCESSES, 'postgres', 'redis', 'migrate', 'job', 'backup', 'postgres-exporter', 'redis-exporter'],
      true,
    ],
    [
      'obs',
      [
        ...PROCESSES,
        ...['prometheus', 'alertmanager', 'grafana'],
        ...['postgres', 'redis', 'nginx', 'node', 'blackbox'].map((name) => `${name}-exporter`),
      ],
      true,
    ],
    ['upstreams', [...GATEWAYS, 'example-upstream'], true],
    ['egress', [...PROCESSES, 'postgres', 'backup'], false],
    ['egress-alerts', ['alertmanager'], false],
  ])('%s has these services and no other', (network, members, internal) => {
    expect(on(network)).toEqual([...members].sort());
    expect(networks[network]?.internal === true).toBe(internal);
  });

  test('there is no other network, and nothing is on the default one', () => {
    expect(Object.keys(networks).sort()).toEqual([
      'app',
      'data',
      'edge',
      'egress',
      'egress-alerts',
      'obs',
      'upstreams',
    ]);
    for (const name of SERVICES) expect(Object.keys((services[name] as Service).networks)).not.toEqual([]);
  });

  test('whoever breaks into nginx finds the gateways and two exporters', () => {
    expect(reaches('nginx')).toEqual(['blackbox-exporter', ...GATEWAYS.sort(), 'nginx-exporter']);
  });

  test('an application behind the gateway finds the gateways alone', () => {
    expect(reaches('example-upstream')).toEqual([...GATEWAYS].sort());
  });

  test.each(GATEWAYS)('%s asks for names of a network that no application is on', (name) => {
    const environment = services[name]?.environment ?? {};
    for (const key of ['AUTH_URL', 'ORG_URL', 'AUDIT_URL', 'WORKER_URL', 'REDIS_URL']) {
      const network = key === 'REDIS_URL' ? 'data' : 'app';
      const { hostname } = new URL(environment[key] ?? '');
      expect(hostname).toMatch(new RegExp(`^[a-z-]+\\.gatehouse-production_${network}$`));
    }
    // Whoever answers to it has to show the certificate of this host's own authority.
    expect(environment).toMatchObject({ DATABASE_HOST: 'postgres', DATABASE_TLS: 'on' });
  });

  test.each(GATEWAYS)('%s answers operators on their network alone', (name) => {
    const address = `${name}.gatehouse-production_obs`;
    expect(services[name]?.environment?.['OPS_BIND_ADDRESS']).toBe(address);
    expect(networks['obs']?.internal).toBe(true);
  });

  test.each([
    'nginx',
    'prometheus',
    'alertmanager',
    'grafana',
    'nginx-exporter',
    'node-exporter',
    'blackbox-exporter',
    'example-upstream',
  ])('%s cannot reach the data', (name) => {
    expect(reaches(name).filter((other) => ['postgres', 'redis', 'backup'].includes(other))).toEqual([]);
  });

  test.each(ENVIRONMENTS)('only nginx publishes ports in %s', (environment) => {
    const all = RENDERED[environment].services;
    expect(SERVICES.filter((name) => all[name]?.ports)).toEqual(['nginx']);
    expect(all['nginx']?.ports?.map(({ target }) => target)).toEqual([8080, 8443]);
  });

  test.each(ENVIRONMENTS)(
    'the gateways of %s believe nginx alone, whose address nobody else can get',
    (environment) => {
      const all = RENDERED[environment].services;
      const address = all['nginx']?.networks['edge']?.ipv4_address ?? '';
      expect(address).toMatch(/^10\.80\.\d\.2$/);
      for (const name of GATEWAYS) expect(all[name]?.environment?.['TRUSTED_PROXIES']).toBe(address);
      const fixed = SERVICES.map((name) => all[name]?.networks['edge']?.ipv4_address).filter(Boolean);
      expect(fixed).toHaveLength(on('edge').length);
      expect(new Set(fixed).size).toBe(fixed.length);
    },
  );

  test('the environments differ in ports and addresses, so that they can stand on one host', () => {
    for (const part of ['published', 'edge'] as const) {
      const values = ENVIRONMENTS.flatMap((name) => {
        const nginx = RENDERED[name].services['nginx'] as Service;
        return part === 'edge'
          ? [nginx.networks['edge']?.ipv4_address]
          : (nginx.ports ?? []).map(({ published }) => published);
      });
      expect(new Set(values).size).toBe(values.length);
    }
  });
});

describe('secrets', () => {
  const mounted = (name: string) => (services[name]?.secrets ?? []).map(({ source }) => source).sort();

  test.each(PROCESSES)('%s holds what its schema names, and the authority of the database', (name) => {
    const schema = SCHEMAS[processOf(name)] as z.ZodObject;
    const named = Object.keys(schema.shape).filter(
      (key) => isSecret(schema.shape[key]) || key === 'IDENTITY_PUBLIC_KEYS',
    );
    expect(mounted(name)).toEqual([...named, 'INTERNAL_CA'].sort());
  });

  test.each<[string, string[]]>([
    [
      'postgres',
      [
        'POSTGRES_PASSWORD',
        'MONITOR_DATABASE_PASSWORD',
        'TLS_CERTIFICATE',
        'TLS_KEY',
        'BACKUP_CIPHER',
        'BACKUP_S3_KEY',
        'BACKUP_S3_KEY_SECRET',
      ].map((name) => `postgres.${name}`),
    ],
    ['backup', ['BACKUP_CIPHER', 'BACKUP_S3_KEY', 'BACKUP_S3_KEY_SECRET'].map((name) => `postgres.${name}`)],
    ['redis', ['redis.users.acl', 'redis.REDIS_MONITOR_PASSWORD']],
    ['alertmanager', ['monitoring.ALERT_WEBHOOK_URL']],
    ['grafana', ['grafana.GRAFANA_ADMIN_PASSWORD']],
    ['postgres-exporter', ['monitoring.MONITOR_DATABASE_PASSWORD', 'monitoring.INTERNAL_CA']],
    ['redis-exporter', ['monitoring.REDIS_EXPORTER_PASSWORDS']],
    ...['nginx', 'prometheus', 'nginx-exporter', 'node-exporter', 'blackbox-exporter', 'example-upstream'].map(
      (name): [string, string[]] => [name, []],
    ),
  ])('%s holds these and no other', (name, expected) => {
    expect(mounted(name)).toEqual([...expected].sort());
  });

  test('migrations hold the passwords of the database, and no key of the application', () => {
    expect(mounted('migrate').filter((name) => !/_PASSWORD$|^INTERNAL_CA$|^SENTRY_DSN$/.test(name))).toEqual([]);
  });

  test.each(SERVICES)('every secret of %s is one that make secrets makes, for the user that it runs as', (name) => {
    const { user = '', secrets: own = [] } = services[name] as Service;
    for (const { source, target = source } of own) {
      const [holder = '', file = ''] = (secrets[source]?.file ?? '').replace(`${STATE}/secrets/`, '').split('/');
      expect(SECRETS.find((spec) => spec.name === file)?.holders).toContain(holder);
      expect(String(HOLDERS[holder as keyof typeof HOLDERS])).toBe(user.split(':')[0]);
      expect(target.replace('/run/secrets/', '')).toBe(file);
    }
  });

  test.each(SERVICES)('every file that %s is told of is mounted', (name) => {
    const { environment = {}, secrets: own = [] } = services[name] as Service;
    const targets = own.map(({ source, target = source }) => `/run/secrets/${target.replace('/run/secrets/', '')}`);
    const named = Object.values(environment).flatMap((value) => (value ?? '').match(/\/run\/secrets\/[\w.]+/g) ?? []);
    expect(named.filter((path) => !targets.includes(path))).toEqual([]);
  });

  test('every secret of the file is used', () => {
    const used = new Set(SERVICES.flatMap(mounted));
    expect(Object.keys(secrets).filter((name) => !used.has(name))).toEqual([]);
  });
});

describe('the two colours', () => {
  test.each(PROCESSES.filter((name) => name.endsWith('-blue')))(
    '%s has a twin that differs in name, address and revision',
    (name) => {
      const { profiles, ...twin } = services[name.replace('blue', 'green')] as Service;
      const asBlue = JSON.stringify(twin)
        .replaceAll('green', 'blue')
        .replaceAll(GREEN, BLUE)
        .replaceAll(/"10\.80\.0\.2([12])"/g, '"10.80.0.1$1"');
      expect(profiles).toEqual(['green']);
      expect(JSON.stringify(twin)).not.toMatch(new RegExp(`blue|${BLUE}`));
      expect(JSON.parse(asBlue)).toEqual(services[name]);
    },
  );

  test.each(ENVIRONMENTS)(
    'fit into the connections of the database together in %s, with a fifth to spare',
    (environment) => {
      const all = RENDERED[environment].services;
      const needed = PROCESSES.map((name) => {
        const { environment: variables, scale = 1 } = all[name] as Service;
        return Number(variables?.[`${processOf(name).toUpperCase()}_POOL_MAX`]) * scale;
      }).reduce((sum, one) => sum + one, 0);
      const max = Number(/--max-connections=(\d+)/.exec(all['postgres']?.command?.join(' ') ?? '')?.[1]);
      expect(needed).toBeGreaterThan(0);
      expect(needed).toBeLessThanOrEqual(max * 0.8);
    },
  );
});

describe('variables', () => {
  const names = [...new Set([...text.matchAll(/\$\{([A-Z][A-Z0-9_]*)/g)].map(([, name]) => name as string))];
  const optional = ['STATE_DIR', 'SETTINGS_FILE', 'GREEN_REVISION', 'TOOLS_REVISION', 'CONTAINER_INIT'];

  // Compose itself gives the project's name.
  test.each(names.filter((name) => ![...optional, 'COMPOSE_PROJECT_NAME'].includes(name)))(
    'without %s nothing starts, and the message names it',
    (name) => {
      const { status, stderr } = compose('production', { [name]: undefined });
      expect(status).not.toBe(0);
      expect(stderr).toMatch(new RegExp(`required variable ${name} is missing a value`));
    },
  );

  test('no other has a default', () => {
    const defaults = [...text.matchAll(/\$\{([A-Z][A-Z0-9_]*):?-/g)].map(([, name]) => name as string);
    expect([...new Set(defaults)].sort()).toEqual([...optional].sort());
  });
});

test('statistics of statements, which the monitoring reads, hold no command that could carry a password', () => {
  const settings = readFileSync(join(ROOT, 'deploy/database/postgres/postgresql.conf'), 'utf8');
  expect(settings).toMatch(/^pg_stat_statements\.track_utility = off$/m);
});
