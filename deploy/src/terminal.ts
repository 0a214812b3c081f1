import { hostname } from 'node:os';
import { createInterface } from 'node:readline/promises';
import type { Context } from './context.ts';
import { EXIT, Failure } from './failure.ts';

export interface Asking {
  /** What CONFIRM said. */
  confirm: string;
  /** Whether a person is there to ask. */
  interactive: boolean;
  ask: (question: string) => Promise<string>;
}

/**
 * Lets something be destroyed only by one who has read what: shows the host, the environment and the sizes, and wants
 * the environment's name typed, or given as CONFIRM. Throws a Failure with code 2 otherwise.
 */
export async function confirmDestruction(
  context: Pick<Context, 'environment' | 'report'>,
  what: string,
  sizes: Readonly<Record<string, string>>,
  { confirm, interactive, ask }: Asking = fromProcess(),
): Promise<void> {
  const { environment, report } = context;
  const facts = { host: hostname(), environment, ...sizes };
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  const lines = Object.entries(facts).map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  report.show('destruction', { what, ...facts }, [what, ...lines]);
  if (confirm) {
    if (confirm === environment) return;
    throw new Failure(EXIT.usage, `CONFIRM is ${confirm}, but this is ${environment}; nothing was done`);
  }
  if (!interactive)
    throw new Failure(EXIT.usage, 'This destroys something, and nobody is here to ask', [
      `Give CONFIRM=${environment} when it is meant.`,
    ]);
  if ((await ask(`Type ${environment} to go on: `)).trim() === environment) return;
  throw new Failure(EXIT.usage, 'Not confirmed; nothing was done');
}

function fromProcess(): Asking {
  return {
    confirm: process.env['CONFIRM'] ?? '',
    interactive: Boolean(process.stdin.isTTY && process.stderr.isTTY) && process.env['JSON'] !== '1',
    async ask(question) {
      const terminal = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return await terminal.question(question);
      } finally {
        terminal.close();
      }
    },
  };
}
