import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, run } from './command.ts';
import type { Context } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { writeFileAtomically } from './files.ts';
import { type Colour, gatewaysOf } from './places.ts';

/** Settings that this program reads itself; those of the compose file stand in it. */
const DEPLOYER_KEYS = [
  ...['BAKE_SECONDS', 'DEPLOY_WITHOUT', 'EDGE_PREFIX', 'GATEWAY_PORT'],
  ...['SENTRY_ORGANIZATION', 'SENTRY_PROJECT', 'SENTRY_URL'],
];
/** Only programs outside of the containers read it. */
const OUTSIDE_KEYS = ['GATEWAY_URL'];
const UPSTREAM = 'upstream.conf';

interface Judgement {
  mistakes: string[];
  /** nginx's files; none while there are mistakes. */
  files: Record<string, string>;
}

interface ComposeConfig {
  services: Record<string, { image?: string; environment?: Record<string, string | null> }>;
}

/** Every mistake in the settings and secrets, as the processes of the release would find them at their start. */
export async function checkConfiguration(context: Context): Promise<string[]> {
  const config = await composeConfig(context);
  return Array.isArray(config) ? config : (await judge(context, config, 'blue')).mistakes;
}

/**
 * Writes nginx's configuration, after an nginx in a throw-away container has accepted it. `upstream.conf`, which says
 * what is live, is written only when there is none. Throws a Failure; what was there is then unchanged.
 */
export async function renderEdge(context: Context, live: Colour): Promise<void> {
  const { places } = context;
  const config = await composeConfig(context);
  const { mistakes, files } = Array.isArray(config)
    ? { mistakes: config, files: {} }
    : await judge(context, config, live);
  if (mistakes.length > 0 || Array.isArray(config))
    throw new Failure(EXIT.secrets, 'The settings or secrets are wrong', mistakes);
  const current = join(places.nginx, UPSTREAM);
  if (existsSync(current)) files[UPSTREAM] = readFileSync(current, 'utf8');
  // nginx reads them as another user, and so must be able to enter and to read, whatever the deployer's umask is.
  for (const folder of [places.nginx, join(places.nginx, 'flags')]) makeOpen(folder);
  await tryOut(context, files, config.services['nginx']?.image ?? 'nginxinc/nginx-unprivileged:1.28');
  for (const [name, text] of Object.entries(files)) {
    const path = join(places.nginx, name);
    if (name === UPSTREAM && existsSync(path)) continue;
    writeFileAtomically(path, text);
    chmodSync(path, 0o644);
  }
  for (const name of readdirSync(places.nginx))
    if (name.endsWith('.conf') && !(name in files)) rmSync(join(places.nginx, name));
}

/** The compose file with all filled in, or what Compose has against it. */
async function composeConfig({ compose }: Context): Promise<ComposeConfig | string[]> {
  const { code, stdout, stderr } = await compose.run(['--profile', '*', 'config', '--format', 'json']);
  if (code === 0) return JSON.parse(stdout) as ComposeConfig;
  const complaints = stderr.trim().split('\n').slice(-5);
  return complaints.map((line) => `docker compose: ${line}`);
}

async function judge({ compose, settings }: Context, config: ComposeConfig, live: Colour): Promise<Judgement> {
  const prefix = settings['EDGE_PREFIX'] ?? '';
  const file = readFileSync(join(compose.options.source, 'docker-compose.production.yml'), 'utf8');
  const inCompose = [...file.matchAll(/\$\{([A-Z][A-Z0-9_]*)/g)].map(([, name = '']) => name);
  const input = {
    settings,
    services: Object.fromEntries(
      Object.entries(config.services).map(([name, { environment }]) => [name, plain(environment)]),
    ),
    deploymentKeys: [...new Set([...inCompose, ...DEPLOYER_KEYS, ...OUTSIDE_KEYS])],
    gateways: gatewaysOf(live, prefix, settings['GATEWAY_PORT'] ?? ''),
    opsAllow: [`${prefix}.3`],
  };
  try {
    return JSON.parse(await compose.job('deploy/jobs/configure.ts', [], { input: JSON.stringify(input) })) as Judgement;
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    const seen = cause.result.stderr.trim().split('\n').slice(-5);
    const remedy = 'It runs in the image gatehouse/tools of the revision, which make images builds.';
    throw new Failure(EXIT.secrets, 'The settings could not be judged', [...seen, remedy], { cause });
  }
}

/** Compose writes a dollar as two, so that its output could be its input. */
function plain(environment: Record<string, string | null> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([key, value]) => [key, (value ?? '').replaceAll('$$', () => '$')]),
  );
}

// The places that docker-compose.production.yml gives to nginx, and as little else.
const LIKE_NGINX = [
  ...['--rm', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--user', '101:101'],
  ...['/run/nginx', '/var/cache/nginx', '/tmp'].flatMap((path) => ['--tmpfs', `${path}:uid=101,gid=101,mode=0700`]),
];

async function tryOut({ places }: Context, files: Record<string, string>, image: string): Promise<void> {
  const trial = `${places.nginx}.trial`;
  try {
    rmSync(trial, { recursive: true, force: true });
    for (const folder of [trial, join(trial, 'flags')]) makeOpen(folder);
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(trial, name), text);
      chmodSync(join(trial, name), 0o644);
    }
    const mounts = ['-v', `${trial}:/etc/gatehouse:ro`, '-v', `${places.tls}:/etc/gatehouse-tls:ro`];
    const command = ['--entrypoint', 'nginx', image, '-t', '-q', '-c', '/etc/gatehouse/nginx.conf'];
    const { code, stderr } = await run('docker', ['run', ...LIKE_NGINX, ...mounts, ...command]);
    if (code !== 0)
      throw new Failure(EXIT.secrets, 'nginx does not accept its configuration; nothing was changed', [
        ...stderr.trim().split('\n').slice(-5),
        `The certificate belongs in ${places.tls}; make secrets gives it its owner.`,
      ]);
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

function makeOpen(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
}
