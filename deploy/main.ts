// The program behind `make deploy` and its companions: `deploy/main.ts <command>`, with variables in the environment.
import { CommandError, stopCommands } from './src/command.ts';
import type { Command } from './src/context.ts';
import { EXIT, Failure } from './src/failure.ts';
import { whatIsLeft } from './src/interruption.ts';
import { releaseHeldLocks } from './src/lock.ts';
import { requireEngine } from './src/preflight/engine.ts';
import { openContext } from './src/project.ts';
import { createReporter, type Ending } from './src/report.ts';
import { readVariables } from './src/variables.ts';

const COMMANDS: Record<string, () => Promise<{ command: Command }>> = {
  images: () => import('./src/commands/images.ts'),
  secrets: () => import('./src/commands/secrets.ts'),
  configure: () => import('./src/commands/configure.ts'),
  'restore-secrets': () => import('./src/commands/restore-secrets.ts'),
  deploy: () => import('./src/commands/deploy.ts'),
  'deploy-plan': () => import('./src/commands/deploy-plan.ts'),
  status: () => import('./src/commands/status.ts'),
  releases: () => import('./src/commands/releases.ts'),
  rollback: () => import('./src/commands/rollback.ts'),
  restart: () => import('./src/commands/restart.ts'),
  logs: () => import('./src/commands/logs.ts'),
  backup: () => import('./src/commands/backup.ts'),
  backups: () => import('./src/commands/backups.ts'),
  restore: () => import('./src/commands/restore.ts'),
  'restore-drill': () => import('./src/commands/restore-drill.ts'),
  migrate: () => import('./src/commands/migrate.ts'),
  'migrate-status': () => import('./src/commands/migrate-status.ts'),
  'schema-verify': () => import('./src/commands/schema-verify.ts'),
  'schema-baseline': () => import('./src/commands/schema-baseline.ts'),
  'maintenance-on': () => import('./src/commands/maintenance-on.ts'),
  'maintenance-off': () => import('./src/commands/maintenance-off.ts'),
  'renew-certificate': () => import('./src/commands/renew-certificate.ts'),
  unlock: () => import('./src/commands/unlock.ts'),
  doctor: () => import('./src/commands/doctor.ts'),
};

const { env, stdout } = process;
// Images are the same for every environment.
if (process.argv[2] === 'images') env['ENV'] ||= 'production';
const terminal = Boolean(stdout.isTTY) && env['TERM'] !== 'dumb' && !env['CI'];
const report = createReporter({ json: env['JSON'] === '1', terminal, colour: terminal && !env['NO_COLOR'] });
const name = process.argv[2] ?? '';
let ended = false;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void interrupted(signal));
end(await outcome());

async function outcome(): Promise<Omit<Ending, 'command'>> {
  try {
    const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!load) throw new Failure(EXIT.usage, name ? `There is no command ${name}` : 'Which command?', usage());
    const variables = readVariables(env);
    const context = await openContext(env, report);
    // Compose prefers its environment to the settings file: what the caller's shell has must not change a deployment.
    for (const key of Object.keys(context.settings)) delete env[key];
    const { command } = await load();
    await command(context, variables);
    return { exit: EXIT.ok };
  } catch (thrown) {
    // Of commands that fail, most are asked of the engine: one that does not answer is the reason, and not its symptom.
    const error =
      thrown instanceof CommandError
        ? await requireEngine().then(
            () => thrown,
            (silent: unknown) => silent,
          )
        : thrown;
    if (error instanceof Failure) return { exit: error.code, message: error.message, lines: error.lines };
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { exit: EXIT.bug, message: `make ${name} failed in a way that nobody foresaw`, lines: [stack] };
  }
}

function end(ending: Omit<Ending, 'command'>): void {
  if (ended) return;
  ended = true;
  report.finish({ command: name, ...ending });
  process.exitCode = ending.exit;
}

async function interrupted(signal: NodeJS.Signals): Promise<void> {
  if (ended) return;
  ended = true;
  await stopCommands();
  const locked = releaseHeldLocks();
  const next = locked ? whatIsLeft(env) : [];
  report.finish({ command: name, exit: 130, message: `Stopped by ${signal}`, lines: next });
  process.exit(130);
}

function usage(): string[] {
  return [`make <command> ENV=production|staging|development`, `Commands: ${Object.keys(COMMANDS).join(', ')}`];
}
