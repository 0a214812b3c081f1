import { relative } from 'node:path';
import { type Platform, ROOT, startPlatform } from './src/platform.ts';
import { messageOf } from './src/processes.ts';
import { SetupError } from './src/setup-error.ts';
import { watchLogs } from './src/watch-logs.ts';

const startedAt = performance.now();
const say = (line: string) => void process.stdout.write(`${line}\n`);
const seconds = () => ((performance.now() - startedAt) / 1000).toFixed(1);
const near = (path: string) => relative(ROOT, path) || '.';

let platform: Platform | undefined;
let leaving: Promise<never> | undefined;

function leave(code: number): Promise<never> {
  leaving ??= (async () => {
    try {
      await platform?.stop();
    } catch (error) {
      say(`Not everything ended in order: ${(error as Error).message}`);
    }
    if (asked) say('Stopped.');
    process.exit(code);
  })();
  return leaving;
}

// A second Ctrl-C does not wait: what still runs is ended as after a crash of this process.
let asked = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    if (asked || !platform) process.exit(130);
    asked = true;
    say(`\nStopping (${signal}) …`);
    void leave(0);
  });

try {
  say('Gatehouse, development');
  platform = await startPlatform({
    dataDir: `${ROOT}/.data`,
    ports: 'settings',
    env: process.env,
    onProgress: (step, detail) => say(`  ${seconds().padStart(5)} s  ${step.padEnd(10)} ${detail}`),
  });
} catch (error) {
  process.stderr.write(error instanceof SetupError ? `${error.message}\n` : `${(error as Error).stack}\n`);
  process.exit(1);
}

const { url, mailboxUrl, ca, logDir } = platform;
say(`
Ready after ${seconds()} s.

  Platform   ${url}   (certificate authority: ${near(ca)})
  Reference  ${url}/api/docs
  Mail       ${mailboxUrl}
  Logs       ${near(logDir)}/
  Next       make demo, in a second terminal
  Stop       Ctrl-C
`);

const stopWatching = watchLogs(Object.fromEntries(platform.processes.map(({ name, logFile }) => [name, logFile])), say);
const { name, reason, lastLines } = await platform.crashed;
stopWatching();
if (!asked) {
  const lines = lastLines.map((line) => `    ${messageOf(line)}`).join('\n');
  process.stderr.write(`${name} ${reason}. Its last words:\n${lines}\nStopping the rest.\n`);
  await leave(1);
}
