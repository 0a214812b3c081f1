import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ensureCertificates } from '../../dev/src/certificates.ts';
import { must, run } from '../src/command.ts';
import { type Colour, type Places, placesOf } from '../src/places.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** What the deployer says in JSON, a line each. */
export interface DeployEvent {
  event: string;
  name?: string;
  status?: string;
  ms?: number;
  [field: string]: unknown;
}

export interface Outcome {
  code: number;
  /** Everything it wrote. */
  output: string;
  events: DeployEvent[];
  ms: number;
}

export interface Running {
  child: ChildProcess;
  /** Resolves when the stage begins; rejects when the command ends before. */
  reaches(stage: string): Promise<void>;
  /** SIGKILL to the command and to whatever it has started. */
  kill(): Promise<void>;
  done: Promise<Outcome>;
}

/** A host of its own on this machine: a checkout, a state folder, a Compose project, ports and a network. */
export interface Site {
  checkout: string;
  places: Places;
  project: string;
  url: string;
  /** Path of the certificate of the authority that signed the site's. */
  ca: string;
  /** Where a program of the test serves as the upstream `example`. */
  upstreamPort: number;
  settings: Record<string, string>;
  start(target: string, variables?: Record<string, string>): Running;
  make(target: string, variables?: Record<string, string>): Promise<Outcome>;
  /** Changes files of the checkout and commits: the next release. Returns its revision. */
  commit(message: string, change: (edit: Edit) => void): Promise<string>;
  /** Undoes every commit of the tests. */
  reset(): Promise<void>;
  live(): { revision: string; colour: Colour };
  secret(name: string): Promise<string>;
  /** One value, or rows of values, from the database as its superuser. */
  sql(statement: string): Promise<string[]>;
  /** Containers of the project, running or not: `service state`. */
  containers(): Promise<string[]>;
  docker(...args: string[]): Promise<string>;
  /** A certificate for the same names, from the same authority. */
  renewCertificate(): Promise<void>;
  /** The engine's part of the host is gone: containers, networks, volumes. */
  lose(): Promise<void>;
  remove(): Promise<void>;
}

export type Edit = (file: string, change: (text: string) => string) => void;

export interface SiteOptions {
  name: string;
  environment?: 'production' | 'staging' | 'development';
  /** Distinguishes sites that stand at the same time: ports 18n00 and network 10.88.n.0. */
  number: number;
  settings?: Record<string, string>;
}

// What a test does in a minute is more than a host's clients do in a day; and what only looks has no part in it.
const ROOMY: Record<string, string> = {
  NGINX_API_RATE: '20000r/s',
  NGINX_API_BURST: '20000',
  NGINX_LOGIN_RATE: '20000r/s',
  NGINX_LOGIN_BURST: '20000',
  LOGIN_NETWORK_BUDGET: '100000',
  LOGIN_ACCOUNT_NETWORK_BUDGET: '1000',
  LOGIN_BUDGET: '1000',
  LOGIN_LOCK_FAILURES: '1000',
  ORGANIZATIONS_PER_USER_MAX: '10000',
  SECOND_FACTOR_REQUIRED_FOR: 'nobody',
  ...Object.fromEntries(
    ['ADDRESS', 'USER', 'KEY'].flatMap((whose) =>
      ['MINUTE', 'HOUR', 'DAY'].map((window) => [`LIMIT_${whose}_${window}`, '10000000']),
    ),
  ),
  SMTP_HOST: 'mail.gatehouse.test',
  MAIL_FROM: 'Gatehouse <no-reply@gatehouse.test>',
  BAKE_SECONDS: '6',
  DEPLOY_WITHOUT:
    'grafana prometheus alertmanager node-exporter postgres-exporter redis-exporter nginx-exporter blackbox-exporter',
};

export async function createSite({ name, environment = 'production', number, settings }: SiteOptions): Promise<Site> {
  const root = mkdtempSync(join(tmpdir(), `gatehouse-${name}-`));
  const checkout = join(root, 'checkout');
  const places = placesOf(join(root, 'state'));
  const project = `gatehouse-test-${name}`;
  const [https, http, upstreamPort] = [`18${number}43`, `18${number}80`, 18_000 + number * 100 + 99];
  const edge = `10.88.${number}`;
  const own: Record<string, string> = {
    ...ROOMY,
    PUBLIC_URL: `https://localhost:${https}`,
    SERVER_NAME: 'localhost',
    CORS_ORIGINS: `https://localhost:${https}`,
    PUBLISH_ADDRESS: '127.0.0.1',
    PUBLISH_HTTPS_PORT: https,
    PUBLISH_HTTP_PORT: http,
    EDGE_PREFIX: edge,
    // The host, as the containers of the edge network see it.
    UPSTREAMS: `example=http://${edge}.1:${upstreamPort}`,
    ...settings,
  };
  await must('git', ['clone', '-q', ROOT, checkout]);
  for (const [key, value] of Object.entries({ 'user.name': 'Deploy tests', 'user.email': 'deploy@gatehouse.test' }))
    await must('git', ['-C', checkout, 'config', key, value]);
  const first = (await must('git', ['-C', checkout, 'rev-parse', 'HEAD'])).trim();
  mkdirSync(places.tls, { recursive: true, mode: 0o700 });
  const lines = Object.entries(own).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(places.overrides, lines.join(''));

  // An engine without docker-init cannot start a container with one.
  const init = await run('docker', ['run', '--rm', '--init', '--entrypoint', 'true', 'postgres:17']);
  const base = {
    ...{ ENV: environment, STATE_DIR: places.state, PROJECT: project, JSON: '1' },
    ...(init.code === 0 ? {} : { CONTAINER_INIT: 'false' }),
  };
  let certificates = 0;

  async function renewCertificate(): Promise<void> {
    // The authority stays; a name more makes it sign anew.
    certificates += 1;
    const made = await ensureCertificates(join(root, 'certificates'), [
      'localhost',
      `release-${certificates}.localhost`,
    ]);
    for (const [from, to] of [[made.certificate, 'fullchain.pem'] as const, [made.key, 'privkey.pem'] as const]) {
      const place = join(places.tls, to);
      rmSync(place, { force: true });
      copyFileSync(from, place);
    }
  }

  function start(target: string, variables: Record<string, string> = {}): Running {
    const startedAt = performance.now();
    const events: DeployEvent[] = [];
    let output = '';
    const waiting: { stage: string; resolve: () => void; reject: (error: Error) => void }[] = [];
    const child = spawn('make', ['--no-print-directory', target], {
      cwd: checkout,
      // The project's own Node, wherever the machine's is: the clone has no node_modules.
      env: { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`, ...base, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const see = (line: string) => {
      if (!line.startsWith('{')) return;
      const event = parse(line);
      if (!event) return;
      events.push(event);
      for (const one of waiting)
        if (event.event === 'step' && event.name === one.stage && event.status === 'start') one.resolve();
    };
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
        const all = (rest + chunk).split('\n');
        rest = all.pop() ?? '';
        for (const line of all) see(line);
      });
    }
    const done = new Promise<Outcome>((settle) =>
      child.once('close', (code) => {
        const outcome = { code: code ?? 137, output, events, ms: Math.round(performance.now() - startedAt) };
        if (process.env['DEPLOY_TEST_LOG'])
          appendFileSync(
            process.env['DEPLOY_TEST_LOG'],
            `\n== ${target} ${JSON.stringify(variables)}: ${outcome.code}\n${output}`,
          );
        for (const one of waiting)
          one.reject(new Error(`${target} ended (${outcome.code}) before ${one.stage}:\n${tail(output)}`));
        settle(outcome);
      }),
    );
    return {
      child,
      done,
      reaches: (stage) => new Promise((settle, reject) => waiting.push({ stage, resolve: settle, reject })),
      async kill() {
        if (child.pid) process.kill(-child.pid, 'SIGKILL');
        await done;
      },
    };
  }

  const docker = (...args: string[]) => must('docker', args);
  const containerOf = async (service: string) => {
    const filters = [`label=com.docker.compose.project=${project}`, `label=com.docker.compose.service=${service}`];
    const ids = await docker('ps', '-aq', ...filters.flatMap((filter) => ['--filter', filter]));
    return ids.split('\n')[0] ?? '';
  };
  const site: Site = {
    checkout,
    places,
    project,
    url: own['PUBLIC_URL'] ?? '',
    ca: join(root, 'certificates', 'ca.pem'),
    upstreamPort,
    settings: own,
    start,
    async make(target, variables) {
      const outcome = await start(target, variables).done;
      // make's own code is 2 for whatever failed; it says which it was.
      const told = /Error (\d+)\s*$/m.exec(outcome.output);
      return { ...outcome, code: outcome.code === 2 && told ? Number(told[1]) : outcome.code };
    },
    async commit(message, change) {
      change((file, edit) => {
        const path = join(checkout, file);
        const before = readFileSync(path, 'utf8');
        const after = edit(before);
        if (after === before) throw new Error(`${file}: the change changes nothing`);
        writeFileSync(path, after);
      });
      await must('git', ['-C', checkout, 'commit', '-qam', message]);
      return (await must('git', ['-C', checkout, 'rev-parse', '--short=12', 'HEAD'])).trim();
    },
    async reset() {
      await must('git', ['-C', checkout, 'reset', '-q', '--hard', first]);
    },
    live: () => JSON.parse(readFileSync(places.live, 'utf8')),
    secret: async (name) => readFileSync(join(places.secrets, 'app', name), 'utf8').trim(),
    async sql(statement) {
      const psql = ['psql', '-XAtq', '-h', '/var/run/postgresql', '-U', 'postgres', '-d', 'gatehouse', '-c', statement];
      return (await docker('exec', await containerOf('postgres'), ...psql)).split('\n').filter(Boolean);
    },
    async containers() {
      const format = '{{.Label "com.docker.compose.service"}} {{.State}}';
      const list = await docker(
        'ps',
        '-a',
        '--filter',
        `label=com.docker.compose.project=${project}`,
        '--format',
        format,
      );
      return list.split('\n').filter(Boolean).sort();
    },
    docker,
    renewCertificate,
    lose: () => removeProject(project),
    async remove() {
      if (process.env['KEEP_SITE']) return;
      await removeProject(project);
      rmSync(root, { recursive: true, force: true });
    },
  };
  // What an earlier run that was killed has left.
  await removeProject(project);
  await renewCertificate();
  return site;
}

async function removeProject(project: string): Promise<void> {
  for (const label of [`com.docker.compose.project=${project}`, `gatehouse.scratch=${project}`]) {
    const filter = ['--filter', `label=${label}`];
    const lists: [string[], string[]][] = [
      [
        ['ps', '-aq', ...filter],
        ['rm', '-f', '-v'],
      ],
      [
        ['volume', 'ls', '-q', ...filter],
        ['volume', 'rm', '-f'],
      ],
      [
        ['network', 'ls', '-q', ...filter],
        ['network', 'rm'],
      ],
    ];
    for (const [list, remove] of lists) {
      const ids = (await must('docker', list)).split('\n').filter(Boolean);
      if (ids.length > 0) await run('docker', [...remove, ...ids]);
    }
  }
}

function parse(line: string): DeployEvent | undefined {
  try {
    return JSON.parse(line) as DeployEvent;
  } catch {
    return undefined;
  }
}

/** The last lines of what a command said: what a failed expectation shows. */
export function tail(output: string, lines = 25): string {
  return output.trimEnd().split('\n').slice(-lines).join('\n');
}
