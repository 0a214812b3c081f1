import { run } from '../command.ts';
import { EXIT, Failure } from '../failure.ts';
import { error, type Finding, warning } from './findings.ts';
import { type Rendered, replicasOf } from './rendered.ts';

export interface Engine {
  version: string;
  compose: string;
  cpus: number;
  memoryBytes: number;
  /** Where it keeps images and volumes. */
  root: string;
  /** Its clock less ours. */
  skewMs: number;
  /** Whether it can give containers an init process: its docker-init is a package of its own on Debian. */
  init: boolean;
}

// It knows start_interval of health checks, and is the oldest that its makers still repair.
const ENGINE = [25, 0] as const;
// 2.20.2 knows start_interval; 2.24 fills in a required variable's message.
const COMPOSE = [2, 24] as const;
const SKEW_MS = 1_000;
// What it says for the commit of its docker-init when it cannot run that one.
const NO_INIT = 'N/A';

/** Undefined when no engine answers. */
export async function readEngine(): Promise<Engine | undefined> {
  const before = Date.now();
  const info = await run('docker', ['info', '--format', '{{json .}}'], { timeoutMs: 20_000 });
  const after = Date.now();
  if (info.code !== 0) return undefined;
  const { ServerVersion, NCPU, MemTotal, DockerRootDir, SystemTime, InitCommit } = JSON.parse(info.stdout);
  if (!ServerVersion) return undefined;
  const compose = await run('docker', ['compose', 'version', '--short']);
  const theirs = Date.parse(SystemTime);
  // Somewhere between question and answer: only what lies outside of them is a difference.
  const skewMs = theirs < before ? theirs - before : Math.max(0, theirs - after);
  return {
    version: ServerVersion,
    compose: compose.code === 0 ? compose.stdout.trim() : '',
    cpus: NCPU,
    memoryBytes: MemTotal,
    root: DockerRootDir,
    skewMs,
    init: InitCommit?.ID !== NO_INIT,
  };
}

/** Containers that ask for an init process do not start on an engine without one; true when no engine answers. */
export async function hasInit(): Promise<boolean> {
  const { stdout } = await run('docker', ['info', '--format', '{{.InitCommit.ID}}'], { timeoutMs: 20_000 });
  return stdout.trim() !== NO_INIT;
}

/** Before anything that cannot do without it, so that nothing else is blamed; throws a Failure with code 10. */
export async function requireEngine(): Promise<void> {
  const { code, stderr } = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 20_000 });
  if (code === 0) return;
  throw new Failure(EXIT.preflight, 'Docker does not answer', [
    stderr.trim().slice(0, 300),
    'Start it, and be root or in the group docker: `docker info` must work for this user.',
  ]);
}

export function judgeEngine(engine: Engine | undefined): Finding[] {
  if (!engine)
    return [error('engine', 'Docker does not answer', 'Start it, and see that `docker info` works for this user')];
  const findings: Finding[] = [];
  if (!isAtLeast(engine.version, ENGINE))
    findings.push(error('engine', `Docker Engine is ${engine.version}`, `Install ${ENGINE.join('.')} or newer`));
  if (!engine.compose) findings.push(error('engine', 'docker compose is missing', 'Install the Compose plugin'));
  else if (!isAtLeast(engine.compose, COMPOSE))
    findings.push(error('engine', `Docker Compose is ${engine.compose}`, `Install ${COMPOSE.join('.')} or newer`));
  if (Math.abs(engine.skewMs) > SKEW_MS)
    findings.push(
      error('clock', `the engine's clock differs from this host's by ${engine.skewMs} ms`, 'Set both by NTP'),
    );
  if (!engine.init)
    findings.push(
      warning(
        'engine',
        'it has no docker-init, so containers run without an init process',
        'Good enough for what runs here; on Debian, `apt install tini` brings it',
      ),
    );
  return findings;
}

/** What every container is promised, with both colours up, must be there: what does not fit is killed under load. */
export function judgeResources(engine: Engine, { services }: Rendered, without: readonly string[]): Finding[] {
  let reserved = 0;
  for (const [name, service] of Object.entries(services)) {
    const started = (service.profiles ?? []).every((profile) => profile === 'green') && !without.includes(name);
    if (started) reserved += Number(service.mem_reservation ?? 0) * replicasOf(service);
  }
  const findings: Finding[] = [];
  if (reserved > engine.memoryBytes)
    findings.push(
      error(
        'memory',
        `both colours and what they need are promised ${gib(reserved)}, and the host has ${gib(engine.memoryBytes)}`,
        'Give it more, or name services that it can do without in DEPLOY_WITHOUT',
      ),
    );
  if (engine.cpus < 2)
    findings.push(error('cpu', `the host has ${engine.cpus} processor`, 'Two colours at once need 2 or more'));
  else if (engine.cpus < 4)
    findings.push(
      warning('cpu', `the host has ${engine.cpus} processors`, 'While both colours run, answers take longer'),
    );
  return findings;
}

export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, a = 0, b = 0] = (/^v?(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  return a > major || (a === major && b >= minor);
}

export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
