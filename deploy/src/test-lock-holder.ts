// A process of lock.test.ts: takes the lock of the state folder it is given, tells it, and keeps it until its standard
// input ends. Beside the lock it keeps a file that only one can make: two holders at once are seen.
import { closeSync, openSync, rmSync } from 'node:fs';
import { withLock } from './lock.ts';
import { placesOf } from './places.ts';
import { createReporter } from './report.ts';

const [state = '', wait = '60', mode = 'hold'] = process.argv.slice(2);
const report = createReporter({ json: true, terminal: false });
const say = (text: string) => void process.stdout.write(`${text}\n`);

try {
  await withLock(placesOf(state), { command: 'deploy', revision: 'aaaaaaaaaaaa', report }, Number(wait), async () => {
    const alone = `${state}/alone`;
    if (mode === 'brief') closeSync(openSync(alone, 'wx'));
    say('held');
    if (mode === 'hold') await new Promise((resolve) => process.stdin.once('close', resolve).resume());
    if (mode === 'brief') rmSync(alone);
  });
  say('released');
} catch (error) {
  say(`failed ${(error as Error).message} ${((error as { lines?: string[] }).lines ?? []).join(' ')}`);
  process.exitCode = 1;
}
