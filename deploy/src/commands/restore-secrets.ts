import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Command } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { restoreSecrets } from '../secrets/sealing.ts';

/** `make restore-secrets FROM=file`: puts a sealed copy back on a host that has no secrets. */
export const command: Command = async (context, { from }) => {
  if (!from)
    throw new Failure(EXIT.usage, 'FROM= names the sealed copy', [`It is in ${context.places.backups}/secrets.`]);
  if (!existsSync(from)) throw new Failure(EXIT.usage, `${from} is not there`);
  const { sealedAt, restored, kept } = restoreSecrets(context, readFileSync(from), await readRecoveryKey());
  const lines = [
    `Restored ${restored.length} files, as they were on ${sealedAt}:`,
    ...restored.map((path) => `  ${path}`),
    ...(kept.length > 0 ? ['Were there already and are left as they are:', ...kept.map((path) => `  ${path}`)] : []),
  ];
  context.report.show('restore-secrets', { sealed_at: sealedAt, restored, kept }, lines);
};

/** From a file or from standard input: arguments and variables can be read by others on the host. */
async function readRecoveryKey(): Promise<string> {
  const file = process.env['RECOVERY_KEY_FILE'];
  if (file) return readFileSync(file, 'utf8').trim();
  const terminal = process.stdin.isTTY;
  const echo = (on: boolean) =>
    terminal && spawnSync('stty', [on ? 'echo' : '-echo'], { stdio: ['inherit', 'ignore', 'ignore'] });
  const lines = createInterface({ input: process.stdin });
  if (terminal) process.stderr.write('Recovery key (not shown): ');
  echo(false);
  try {
    for await (const line of lines) return line.trim();
    throw new Failure(EXIT.usage, 'A recovery key is needed', ['On standard input, or in the file RECOVERY_KEY_FILE.']);
  } finally {
    echo(true);
    lines.close();
  }
}
