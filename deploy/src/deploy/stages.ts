import { CommandError } from '../command.ts';
import type { Reporter } from '../context.ts';
import { EXIT, type ExitCode, Failure } from '../failure.ts';
import { lastLines } from './colour.ts';

/** Every stage of a deploy in its order: what people read, and the code that a failure in it ends with. */
const STAGES = {
  lock: ['Take the lock', EXIT.locked],
  recover: ['Clear up after what was killed before', EXIT.rollbackFailed],
  preflight: ['Check the host and the release, touching nothing', EXIT.preflight],
  build: ['Build the images', EXIT.build],
  configuration: ['Check settings and secrets as the processes will', EXIT.secrets],
  infrastructure: ['Start Postgres, Redis and what else is missing', EXIT.unhealthy],
  backup: ['Back up, restore the backup and compare', EXIT.backup],
  migrate: ['Migrate the database', EXIT.migrate],
  start: ['Start the new processes beside those that serve', EXIT.unhealthy],
  gate: ['Wait until it is ready, and use it as a client would', EXIT.unhealthy],
  switch: ['Switch nginx over to it', EXIT.switch],
  bake: ['Watch it serve users', EXIT.rolledBack],
  checks: ['Make the five security checks', EXIT.rolledBack],
  finish: ['Stop the old release and write down what was done', EXIT.bug],
} as const satisfies Record<string, readonly [string, ExitCode]>;

export type Stage = keyof typeof STAGES;

/** Does the work of a stage; whatever goes wrong in it becomes a Failure with the stage's code. */
export function stage<T>(
  report: Reporter,
  name: Stage,
  work: (detail: (text: string) => void) => Promise<T>,
): Promise<T> {
  const [title, code] = STAGES[name];
  return report.step(name, title, async (detail) => {
    try {
      return await work(detail);
    } catch (error) {
      throw asFailure(error, `in the stage ${name}`, code);
    }
  });
}

/** Whatever was thrown, as something with a code: nothing may end a deploy without what it began being taken back. */
export function asFailure(error: unknown, where: string, code: ExitCode): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof CommandError)
    return new Failure(code, error.message.split('\n')[0] ?? '', lastLines(error.result.stderr, 12), { cause: error });
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Failure(code, `It failed in a way that nobody foresaw: ${where}`, [stack], { cause: error });
}
