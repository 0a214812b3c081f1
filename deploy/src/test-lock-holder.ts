// A process of lock.test.ts. `hold`: takes the lock of the state folder it is given, tells it, and keeps it until its
// standard input ends. `race`: for each line of its standard input takes the lock for a moment, in which it makes a
// file that only one can make: two holders at once are seen.
import { closeSync, openSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { withLock } from './lock.ts';
import { placesOf } from './places.ts';
import { createReporter } from './report.ts';

const [state = '', wait = '60', mode = 'hold'] = process.argv.slice(2);
const report = createReporter({ json: true, terminal: false });
const say = (text: string) => void process.stdout.write(`${text}\n`);
const locked = (work: () => Promise<void>) =>
  withLock(placesOf(state), { command: 'deploy', revision: 'aaaaaaaaaaaa', report }, Number(wait), work);

async function hold(): Promise<void> {
  say('held');
  await new Promise((resolve) => process.stdin.once('close', resolve).resume());
}

async function alone(): Promise<void> {
  closeSync(openSync(`${state}/alone`, 'wx'));
  await delay(5);
  rmSync(`${state}/alone`);
}

try {
  if (mode === 'hold') await locked(hold);
  else {
    say('ready');
    for await (const round of createInterface({ input: process.stdin })) {
      await locked(alone);
      say(`released ${round}`);
    }
  }
} catch (error) {
  say(`failed ${(error as Error).message}`);
  process.exitCode = 1;
}
