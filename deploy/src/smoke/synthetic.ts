import { CommandError } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';

/** Makes the synthetic tenant, or makes it what it should be again, and removes what earlier checks have left. */
export async function ensureSynthetic({ compose }: Pick<Context, 'compose'>): Promise<void> {
  try {
    await compose.job('deploy/jobs/synthetic.ts');
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const said = error.result.stderr.trim().split('\n').slice(-5);
    throw new Failure(EXIT.unhealthy, 'The synthetic tenant cannot be made.', said, { cause: error });
  }
}
