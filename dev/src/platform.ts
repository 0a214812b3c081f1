import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { RunningPostgres } from '@gatehouse/testkit/postgres';
import type { RunningRedis } from '@gatehouse/testkit/redis';
import { type Certificates, ensureCertificates } from './certificates.ts';
import { prepareDatabase, startData } from './data.ts';
import { parseNginxConfig, startEdge } from './edge.ts';
import { createEndings, type Endings } from './endings.ts';
import { type Mailbox, startMailbox } from './mailbox.ts';
import type { RunningNginx } from './nginx.ts';
import { ensurePortsFree, ensurePrograms } from './preflight.ts';
import type { Crash, ManagedProcess } from './processes.ts';
import { type RunState, takeRunState } from './run-state.ts';
import { databasePasswords, ensureSecrets, type ProcessName } from './secrets.ts';
import { createProcesses } from './service-processes.ts';
import { portsOf, readSettings, type Settings, withFreePorts } from './settings.ts';
import { watchPrograms } from './watch-programs.ts';

export type Part = ProcessName | 'nginx' | 'mailbox' | 'upstream';

export interface PlatformOptions {
  /** Keeps everything: data, secrets, certificates, logs. An empty folder is a fresh platform. */
  dataDir: string;
  /** `settings`: the ports of `.env.development`. `free`: other ones, so that several platforms run side by side. */
  ports: 'settings' | 'free';
  /** Override `.env.development`, and the environment. */
  settings?: Settings;
  /** Whose variables override `.env.development`; none when left out. */
  env?: NodeJS.ProcessEnv;
  skip?: readonly Part[];
  /** More than one of a process: nginx spreads over all gateways, and gateway n talks to instance n of each service. */
  instances?: Partial<Record<ProcessName, number>>;
  /** Whether data survives a crash of the machine (the default). Tests and measurements do without. */
  durable?: boolean;
  /** Receives one line per finished step: what, and a detail. */
  onProgress?: (step: string, detail: string) => void;
}

export interface Platform {
  settings: Settings;
  /** The address that clients use, through nginx. */
  url: string;
  httpUrl: string;
  mailboxUrl: string;
  /** Path of the certificate of the local authority: what a client has to trust. */
  ca: string;
  logDir: string;
  secretsDir: string;
  postgres: RunningPostgres;
  /** Passwords of the database's roles by process name, and `migrator`. */
  databasePasswords: ReturnType<typeof databasePasswords>;
  /** `url` contains the password. */
  redis: RunningRedis;
  nginx: RunningNginx | undefined;
  mailbox: Mailbox | undefined;
  processes: readonly ManagedProcess[];
  /** The process of that name: `auth`, `gateway-2`, `upstream`. */
  process(name: string): ManagedProcess;
  /** Settles when something ends that nobody asked to end. */
  crashed: Promise<Crash>;
  stop(): Promise<void>;
}

interface Start extends PlatformOptions {
  root: string;
  logDir: string;
  secretsDir: string;
  settings: Settings;
  env: NodeJS.ProcessEnv;
  skip: readonly Part[];
  instances: Partial<Record<ProcessName, number>>;
  durable: boolean;
  state: RunState;
  endings: Endings;
  done: (step: string, detail: string) => void;
  onCrash: (crash: Crash) => void;
}

/** The repository. */
export const ROOT = resolve(import.meta.dirname, '../..');

/**
 * Starts the whole platform as ordinary processes and resolves when every part is ready. Throws a SetupError whose
 * message says in one line what is wrong; then nothing is left running.
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const dataDir = resolve(options.dataDir);
  const state = await takeRunState(join(dataDir, 'run', 'processes'));
  const endings = createEndings();
  const crash = Promise.withResolvers<Crash>();
  let ended: Promise<void> | undefined;
  const stop = () => {
    ended ??= endings.run().finally(state.clear);
    return ended;
  };
  try {
    const env = options.env ?? {};
    const read = readSettings(ROOT, env, options.settings);
    const start: Start = {
      skip: [],
      instances: {},
      durable: true,
      ...options,
      env,
      settings: options.ports === 'free' ? await withFreePorts(read) : read,
      root: ROOT,
      dataDir,
      logDir: join(dataDir, 'logs'),
      secretsDir: join(dataDir, 'secrets'),
      state,
      endings,
      done: options.onProgress ?? (() => undefined),
      onCrash: crash.resolve,
    };
    return { ...(await startParts(start)), crashed: crash.promise, stop };
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

async function startParts(start: Start): Promise<Omit<Platform, 'crashed' | 'stop'>> {
  const { settings, logDir, secretsDir, done, endings } = start;
  const { certificates, freshSecrets } = await prepare(start);
  const { postgres, redis } = await startData(start);
  done('data', `PostgreSQL on ${postgres.port}, Redis on ${redis.port}`);
  const applied = await prepareDatabase(postgres, { ...start, freshSecrets });
  done('migrations', applied.length > 0 ? `${applied.length} applied` : 'none pending');
  const mailbox = await startMail(start);
  const processes = await startProcesses(start);
  const nginx = start.skip.includes('nginx') ? undefined : await startEdge({ ...start, certificates, processes });
  const pids = { postgres: postgres.pid, redis: redis.pid, ...(nginx ? { nginx: nginx.pid } : {}) };
  endings.add(watchPrograms(pids, logDir, start.onCrash));
  return {
    settings,
    url: settings['PUBLIC_URL'] ?? '',
    httpUrl: `http://localhost:${settings['NGINX_HTTP_PORT']}`,
    mailboxUrl: `http://localhost:${settings['MAILBOX_PORT']}`,
    ca: certificates.ca,
    logDir,
    secretsDir,
    postgres,
    databasePasswords: databasePasswords(secretsDir),
    redis,
    nginx,
    mailbox,
    processes,
    process(name) {
      const found = processes.find((one) => one.name === name);
      if (!found) throw new Error(`no process ${name}; there are ${processes.map((one) => one.name).join(', ')}`);
      return found;
    },
  };
}

interface Prepared {
  certificates: Certificates;
  freshSecrets: boolean;
}

/** What must be there before anything starts. */
async function prepare({ dataDir, logDir, secretsDir, settings, done }: Start): Promise<Prepared> {
  const { SERVER_NAME } = parseNginxConfig(settings);
  const installed = ensurePrograms((line) => done('programs', line));
  if (installed.length > 0) done('programs', `installed ${installed.join(', ')} from Debian`);
  await ensurePortsFree(portsOf(settings));
  mkdirSync(logDir, { recursive: true });
  const freshSecrets = ensureSecrets(secretsDir);
  const names = [
    'localhost',
    '*.localhost',
    '127.0.0.1',
    '::1',
    ...SERVER_NAME.map((name) => name.replace(/[[\]]/g, '')),
  ];
  const certificates = await ensureCertificates(join(dataDir, 'certificates'), [...new Set(names)]);
  done('prepared', 'settings, ports, secrets and certificates');
  return { certificates, freshSecrets };
}

async function startMail({ skip, settings, dataDir, endings, done }: Start): Promise<Mailbox | undefined> {
  if (skip.includes('mailbox')) return undefined;
  const [smtpPort, webPort] = [Number(settings['SMTP_PORT']), Number(settings['MAILBOX_PORT'])];
  const mailbox = await startMailbox({ smtpPort, webPort, file: join(dataDir, 'mailbox.json') });
  endings.add(mailbox.stop);
  done('mailbox', `http://localhost:${webPort}`);
  return mailbox;
}

async function startProcesses(start: Start): Promise<ManagedProcess[]> {
  const { endings, done } = start;
  const processes = await createProcesses(start, { onStart: start.state.add, onCrash: start.onCrash });
  const gateways = processes.filter(({ name }) => name.startsWith('gateway'));
  const others = processes.filter(({ name }) => !name.startsWith('gateway'));
  // Run last to first: gateways end before what they talk to.
  endings.add(() => Promise.all(others.map((one) => one.stop())));
  endings.add(() => Promise.all(gateways.map((one) => one.stop())));
  for (const one of processes) one.start();
  await Promise.all(processes.map((one) => one.ready().then(() => done(one.name, one.url))));
  return processes;
}
