import { describe, expect, test } from '@jest/globals';
import { ENVIRONMENTS } from './src/places.ts';
import { processOf, RENDERED, SERVICES, type Service } from './testing/rendered.ts';

const NODE = /^(auth|org|audit|worker|gateway-\d)-(blue|green)$/;
const seconds = (text = '') =>
  [...text.matchAll(/(\d+)([ms])/g)].reduce((sum, [, n, u]) => sum + +(n ?? 0) * (u === 'm' ? 60 : 1), 0);

interface Line {
  holds(service: Service, name: string): boolean;
  /** Services of which it does not hold, and why that is right. */
  except?: Record<string, string>;
}

const exporters = (reason: string) =>
  Object.fromEntries(['postgres', 'redis', 'nginx', 'node', 'blackbox'].map((name) => [`${name}-exporter`, reason]));

const GRACE: Record<string, number> = { worker: 60, nginx: 40, postgres: 60, redis: 30, prometheus: 60 };
const SIGNAL: Record<string, string> = { nginx: 'SIGQUIT', postgres: 'SIGINT', redis: 'SIGTERM' };

const LINES: Record<string, Line> = {
  'has a root that cannot be written to': { holds: ({ read_only }) => read_only === true },
  'holds no capability': { holds: ({ cap_drop, cap_add }) => cap_drop?.join() === 'ALL' && cap_add === undefined },
  'cannot gain privileges, and keeps the default profiles': {
    holds: ({ security_opt }) => security_opt?.join() === 'no-new-privileges:true',
  },
  'runs as a user of its own by number': { holds: ({ user = '' }) => /^[1-9]\d*:\d+$/.test(user) },
  'runs our own code as a user above 10000': {
    holds: ({ image, user = '' }) => !image.startsWith('gatehouse/') || Number(user.split(':')[0]) >= 10_000,
    except: { postgres: 'the user of the image that it extends', backup: 'shares the files of postgres' },
  },
  'has an init': { holds: ({ init }) => init === true },
  'has a limit of processes': {
    holds: ({ pids_limit = 0 }) => pids_limit > 0 && pids_limit <= 256,
    except: { postgres: 'a process for each of 240 connections' },
  },
  'has a limit of memory, at most twice what is reserved': {
    holds: ({ mem_limit, mem_reservation }) =>
      Number(mem_reservation) > 0 &&
      Number(mem_limit) > Number(mem_reservation) &&
      Number(mem_limit) <= 2 * Number(mem_reservation),
  },
  'has three quarters of its memory as heap where it is Node': {
    holds: ({ user, mem_limit, environment }) => {
      if (user !== '10001:10001') return true;
      const heap = Number(/--max-old-space-size=(\d+)/.exec(environment?.['NODE_OPTIONS'] ?? '')?.[1]) * 2 ** 20;
      return heap / Number(mem_limit) >= 0.7 && heap / Number(mem_limit) <= 0.8;
    },
  },
  'has a limit of processors, on a host with two': { holds: ({ cpus = 0 }) => cpus > 0 && cpus <= 2 },
  'has a limit of open files and writes no core': {
    holds: ({ ulimits }) =>
      (ulimits?.['nofile']?.hard ?? Infinity) <= 16_384 &&
      ulimits?.['core']?.hard === undefined &&
      'core' in (ulimits ?? {}),
  },
  'comes back unless it was stopped': {
    holds: ({ restart }) => restart === 'unless-stopped',
    except: { migrate: 'ends', job: 'ends' },
  },
  'has a log that rotates and never makes it wait': {
    holds: ({ logging }) =>
      JSON.stringify(logging) ===
      '{"driver":"json-file","options":{"max-buffer-size":"4m","max-file":"5","max-size":"10m","mode":"non-blocking"}}',
  },
  'has /tmp in memory; whatever is in memory has a size and starts nothing': {
    holds: ({ tmpfs = [] }) =>
      tmpfs.some((entry) => entry.startsWith('/tmp:')) &&
      tmpfs.every((entry) => ['size=', 'noexec', 'nosuid', 'nodev'].every((option) => entry.includes(option))),
  },
  'shares no namespace, device or socket of the host': {
    holds: (service) =>
      [
        'privileged',
        'network_mode',
        'pid',
        'ipc',
        'uts',
        'userns_mode',
        'cgroup',
        'devices',
        'device_cgroup_rules',
        'container_name',
        'build',
        'extra_hosts',
        'volumes_from',
      ].every((key) => service[key] === undefined) &&
      (service.volumes ?? []).every(({ type, source }) => type === 'volume' || /^\/state\/[a-z]/.test(source)),
  },
  'cannot write to folders of the host': {
    holds: ({ volumes = [] }) => volumes.every(({ type, read_only }) => type === 'volume' || read_only === true),
    except: {
      postgres: 'archives its log to the second place',
      backup: 'backs up to the second place, writes metrics',
    },
  },
  'is asked for its health every 10 s': {
    holds: ({ healthcheck: check }) =>
      seconds(check?.interval) === 10 &&
      seconds(check?.timeout) === 3 &&
      check?.retries === 3 &&
      seconds(check.start_interval) === 1,
    except: {
      ...exporters('its scrape is the check; the images hold no program that could ask'),
      migrate: 'ends',
      job: 'ends',
    },
  },
  'has a test of its health, in the file or in the image of ours': {
    holds: ({ healthcheck: check }, name) =>
      NODE.test(name) || (check?.test ?? ['NONE'])[0]?.startsWith('CMD') === true,
    except: { ...exporters('as above'), migrate: 'ends', job: 'ends' },
  },
  'has the time to stop that its work needs, and the signal': {
    holds: ({ stop_grace_period, stop_signal }, name) =>
      seconds(stop_grace_period) === (GRACE[processOf(name)] ?? 35) && stop_signal === SIGNAL[name],
  },
  'runs an image of a fixed tag; ours of a revision': {
    holds: ({ image }) =>
      /^[a-z0-9./_-]+:[a-z0-9.]+$/.test(image) &&
      !image.endsWith(':latest') &&
      (!image.startsWith('gatehouse/') || /:[0-9a-f]{12}$/.test(image)),
  },
  'shows no secret in its environment, command or check': {
    holds: ({ environment = {}, command, healthcheck }) =>
      Object.entries(environment).every(
        ([key, value]) =>
          (!/(PASSWORD|SECRET|TOKEN|PEPPER|CIPHER|DSN|_KEY|ACL|_PASS)$/.test(key) &&
            !/^(?=.*\d)[\w+/-]{32,}={0,2}$/.test(value ?? '') &&
            !/:\/\/[^/]*:[^/]*@/.test(value ?? '')) ||
          (value ?? '') === '',
      ) && !/(password|token)[= ][^/"$]/i.test(JSON.stringify([command, healthcheck?.test])),
  },
};

// A line that holds although it is excepted is a wrong exception, so each row tells both.
describe.each(Object.keys(LINES))('%s:', (title) => {
  const { holds, except = {} } = LINES[title] as Line;
  const rows = SERVICES.flatMap((name) => ENVIRONMENTS.map((environment) => [name, environment] as const));
  test.each(rows)('%s in %s', (name, environment) => {
    expect(holds(RENDERED[environment].services[name] as Service, name)).toBe(!(name in except));
  });

  test('the services that are excepted exist', () => {
    expect(Object.keys(except).filter((name) => !SERVICES.includes(name))).toEqual([]);
  });
});

describe('the order of a start', () => {
  const { services } = RENDERED.production;
  const waits = (name: string) =>
    Object.fromEntries(Object.entries(services[name]?.depends_on ?? {}).map(([on, { condition }]) => [on, condition]));

  test.each(SERVICES.filter((name) => NODE.test(name)))('%s waits for the data and the schema', (name) => {
    expect(waits(name)).toEqual({
      postgres: 'service_healthy',
      redis: 'service_healthy',
      migrate: 'service_completed_successfully',
    });
  });

  test('migrations wait for the database, nginx for both gateways', () => {
    expect(waits('migrate')).toEqual({ postgres: 'service_healthy' });
    expect(waits('nginx')).toEqual({ 'gateway-1-blue': 'service_healthy', 'gateway-2-blue': 'service_healthy' });
  });
});
