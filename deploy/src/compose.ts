import { CommandError, type CommandOptions, type CommandResult, must, run } from './command.ts';

export interface ComposeOptions {
  /** Name of the Compose project: `gatehouse-production`. */
  project: string;
  /** The checkout, or the release's source, whose compose file is meant. */
  source: string;
  /** The merged settings, which the file's `${…}` are filled from. */
  settingsFile: string;
  /** Variables beside the settings: STATE_DIR, BLUE_REVISION, … */
  variables: Readonly<Record<string, string>>;
}

export interface Container {
  id: string;
  service: string;
  /** created, running, exited, restarting, … */
  state: string;
  /** healthy, unhealthy, starting; empty where the service has no check. */
  health: string;
  /** How often the engine has restarted it by itself. */
  restarts: number;
  exitCode: number;
  startedAt: Date;
  image: string;
  /** By the network's name without the project's. */
  addresses: Record<string, string>;
}

export interface Compose {
  readonly options: ComposeOptions;
  run(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  must(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** Containers of the named services, or of all; those that ended too. */
  containers(services?: readonly string[]): Promise<Container[]>;
  /**
   * Runs `node <script>` in a container of the tools image, on the data network and with the secrets of operators;
   * returns its standard output. Throws a CommandError when it failed.
   */
  job(script: string, args?: readonly string[], options?: CommandOptions & JobOptions): Promise<string>;
}

interface JobOptions {
  /** Additional `docker compose run` options: `-v`, `-e`. */
  with?: readonly string[];
}

const FILE = 'docker-compose.production.yml';

export function createCompose(options: ComposeOptions): Compose {
  const { project, source, settingsFile, variables } = options;
  const prefix = ['compose', '-p', project, '--project-directory', source, '-f', `${source}/${FILE}`];
  const head = [...prefix, '--env-file', settingsFile];
  const environment = { ...variables, COMPOSE_IGNORE_ORPHANS: '1' };
  const withEnvironment = (given: CommandOptions = {}) => ({ ...given, env: { ...environment, ...given.env } });

  async function containers(services: readonly string[] = []): Promise<Container[]> {
    const filters = ['--filter', `label=com.docker.compose.project=${project}`];
    const ids = (await must('docker', ['ps', '-aq', '--no-trunc', ...filters])).split('\n').filter(Boolean);
    if (ids.length === 0) return [];
    const result = await run('docker', ['inspect', ...ids]);
    // One of them may have been removed in between; what is left is still listed.
    const found = (JSON.parse(result.stdout || '[]') as Inspected[]).map((one) => toContainer(one, project));
    return found.filter(({ service }) => services.length === 0 || services.includes(service));
  }

  return {
    options,
    run: (args, given) => run('docker', [...head, ...args], withEnvironment(given)),
    must: (args, given) => must('docker', [...head, ...args], withEnvironment(given)),
    containers,
    async job(script, args = [], given = {}) {
      const command = [...head, 'run', '--rm', '--no-deps', '-T', ...(given.with ?? []), 'job', script, ...args];
      const result = await run('docker', command, withEnvironment(given));
      if (result.code !== 0) throw new CommandError('job', [script, ...args], result);
      return result.stdout;
    },
  };
}

interface Inspected {
  Id: string;
  RestartCount: number;
  State: { Status: string; ExitCode: number; StartedAt: string; Health?: { Status: string } };
  Config: { Image: string; Labels: Record<string, string> };
  NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
}

function toContainer(inspected: Inspected, project: string): Container {
  const { State, Config, NetworkSettings } = inspected;
  const addresses: Record<string, string> = {};
  for (const [name, { IPAddress }] of Object.entries(NetworkSettings.Networks))
    if (IPAddress) addresses[name.replace(`${project}_`, '')] = IPAddress;
  return {
    id: inspected.Id,
    service: Config.Labels['com.docker.compose.service'] ?? '',
    state: State.Status,
    health: State.Health?.Status ?? '',
    restarts: inspected.RestartCount,
    exitCode: State.ExitCode,
    startedAt: new Date(State.StartedAt),
    image: Config.Image,
    addresses,
  };
}
