import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ManagedProcess, manage, type ProcessEvents } from './processes.ts';
import { type ProcessName, secretVariables } from './secrets.ts';
import { exampleUpstream, freePorts, type Settings } from './settings.ts';
import { SetupError } from './setup-error.ts';

export interface ProcessContext {
  root: string;
  logDir: string;
  secretsDir: string;
  settings: Settings;
  env: NodeJS.ProcessEnv;
  skip: readonly string[];
  instances: Partial<Record<ProcessName, number>>;
}

export const SERVICES: readonly ProcessName[] = ['auth', 'org', 'audit', 'worker'];
const INSTRUMENT = ['--import', './packages/kit/src/instrument.ts'];
// A small young generation: what is idle holds 5 to 10 MiB less, at no measurable cost. The gateway needs its own: with a
// small one it serves a sixth less.
const SMALL_YOUNG_GENERATION = '--max-semi-space-size=4';

/** The Node processes of the platform, not started yet: services, the example upstream, then the gateways. */
export async function createProcesses(context: ProcessContext, events: ProcessEvents): Promise<ManagedProcess[]> {
  const services = await Promise.all(SERVICES.map((name) => instancesOf(context, name, events)));
  const addresses = Object.fromEntries(SERVICES.map((name, index) => [name, urlsOf(services[index] ?? [])]));
  const gateways = await instancesOf(context, 'gateway', events, (instance) => {
    // Gateway n talks to instance n of each service, so that two requests can meet in two instances.
    const variables: Settings = {};
    for (const [name, urls] of Object.entries(addresses)) {
      const url = urls[instance % Math.max(urls.length, 1)];
      if (url) variables[`${name.toUpperCase()}_URL`] = url;
    }
    return variables;
  });
  return [...services.flat(), ...upstreams(context, events), ...gateways];
}

async function instancesOf(
  context: ProcessContext,
  name: ProcessName,
  events: ProcessEvents,
  variablesOf: (instance: number) => Settings = () => ({}),
): Promise<ManagedProcess[]> {
  if (context.skip.includes(name)) return [];
  const main = name === 'gateway' ? 'gateway/src/main.ts' : `services/${name}/src/main.ts`;
  if (!existsSync(join(context.root, main))) throw new SetupError(`${main} is missing.`);
  const upper = name.toUpperCase();
  const count = context.instances[name] ?? 1;
  const processes: ManagedProcess[] = [];
  for (let instance = 0; instance < count; instance++) {
    const [port, opsPort] =
      instance === 0 ? [context.settings[`${upper}_PORT`], context.settings[`${upper}_OPS_PORT`]] : await freePorts(2);
    const own = { [`${upper}_PORT`]: String(port), [`${upper}_OPS_PORT`]: String(opsPort) };
    const env = { ...context.settings, ...own, ...variablesOf(instance), ...machine(context) };
    const spec = {
      name: instance === 0 ? name : `${name}-${instance + 1}`,
      args: [...(name === 'gateway' ? [] : [SMALL_YOUNG_GENERATION]), ...INSTRUMENT, main],
      cwd: context.root,
      env: { ...env, ...secretVariables(context.secretsDir, name, context.env) },
      logDir: context.logDir,
      url: `http://127.0.0.1:${port}`,
      opsUrl: `http://127.0.0.1:${opsPort}`,
    };
    processes.push(manage(spec, events));
  }
  return processes;
}

function upstreams(context: ProcessContext, events: ProcessEvents): ManagedProcess[] {
  const { root, logDir, settings, skip } = context;
  const url = exampleUpstream(settings);
  if (!url || skip.includes('upstream')) return [];
  const variables = { PORT: url.port, UPSTREAM_NAME: 'example', GATEWAY_URL: settings['GATEWAY_URL'] ?? '' };
  const args = ['examples/upstream/src/main.ts'];
  return [
    manage(
      { name: 'upstream', args, cwd: root, env: { ...variables, ...machine(context) }, logDir, url: url.origin },
      events,
    ),
  ];
}

/** What a process needs of the machine; nothing else of the environment reaches it. */
function machine({ env, root }: ProcessContext): Settings {
  const variables: Settings = {
    NODE_ENV: 'production',
    TZ: 'UTC',
    PATH: process.env['PATH'] ?? '',
    // From the second start on the types are stripped already: half the start, and 20 MiB less in every process.
    NODE_COMPILE_CACHE: join(root, '.data', 'compile-cache'),
  };
  for (const name of ['HOME', 'NODE_OPTIONS', 'NODE_COMPILE_CACHE', 'TMPDIR']) {
    const value = env[name];
    if (value) variables[name] = value;
  }
  return variables;
}

function urlsOf(processes: readonly ManagedProcess[]): string[] {
  return processes.map(({ url }) => url);
}
