import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EXIT } from './failure.ts';
import { breakLock, type Holder, lockHolder, withLock } from './lock.ts';
import { type Places, placesOf } from './places.ts';
import { ownIdentity } from './processes.ts';

const HOLDER = join(import.meta.dirname, 'test-lock-holder.ts');
let places: Places;
let started: Process[];

interface Process {
  child: ChildProcessWithoutNullStreams;
  output(): string;
  /** Resolves when it has said that, and rejects when it ends before. */
  says(text: string): Promise<void>;
  ended: Promise<number | null>;
}

beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'lock-')));
  started = [];
});
afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.map(({ ended }) => ended));
  rmSync(places.state, { recursive: true, force: true });
});

function start(...args: string[]): Process {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', HOLDER, places.state, ...args]);
  let output = '';
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => output.includes(text) && resolve();
      listeners.add(look);
      look();
      void ended.then(() => reject(new Error(`ended without "${text}": ${output}`)));
    });
  const process_ = { child, output: () => output, says, ended };
  started.push(process_);
  return process_;
}

async function kill({ child, ended }: Process): Promise<void> {
  child.kill('SIGKILL');
  await ended;
}

const said: string[] = [];
const report = { note: (text: string) => void said.push(text), warn: (text: string) => void said.push(text) };
beforeEach(() => void said.splice(0));
const take = <T>(wait: number, work: () => Promise<T>) => withLock(places, { command: 'rollback', report }, wait, work);

function leave(holder: Partial<Holder>): string {
  mkdirSync(places.lock);
  const path = join(places.lock, 'holder-0.json');
  const whole: Holder = { ...ownIdentity(), id: 'x', command: 'deploy', revision: '', at: 'then', ...holder };
  writeFileSync(path, JSON.stringify(whole));
  return path;
}

test('the second waits, says for whom, and goes on when the first is done', async () => {
  const first = start();
  await first.says('held');
  const second = start('60');
  await second.says(`make deploy (aaaaaaaaaaaa), process ${first.child.pid} on ${hostname()}`);
  expect(second.output()).not.toContain('held');
  expect(lockHolder(places)).toMatchObject({ alive: true, holder: { pid: first.child.pid } });
  first.child.stdin.end();
  await second.says('held');
  expect(await first.ended).toBe(0);
  second.child.stdin.end();
  expect(await second.ended).toBe(0);
  expect(readdirSync(places.state)).toEqual([]);
});

test('who has waited long enough is told the holder, with code 12', async () => {
  const first = start();
  await first.says('held');
  await expect(take(0, async () => undefined)).rejects.toMatchObject({
    code: EXIT.locked,
    lines: [expect.stringContaining(`process ${first.child.pid}`), expect.stringContaining('make unlock')],
  });
});

test('the lock of a killed process is taken over at once, and that is said', async () => {
  const first = start();
  await first.says('held');
  await kill(first);
  expect(lockHolder(places)).toMatchObject({ alive: false, holder: { pid: first.child.pid } });
  await take(0, async () => expect(lockHolder(places)).toMatchObject({ alive: true, holder: { pid: process.pid } }));
  expect(said).toEqual([expect.stringContaining(`process ${first.child.pid} on ${hostname()}`)]);
  expect(readdirSync(places.state)).toEqual([]);
});

// Guards the exclusive name of a claim and the look after it: where the folder of the killed one is just replaced, two
// of these are in at once, and the second cannot make its file.
test('of many that race for the lock of a killed process, one is in at a time', async () => {
  const racers = Array.from({ length: 6 }, () => start('60', 'race'));
  await Promise.all(racers.map(({ says }) => says('ready')));
  for (let round = 0; round < 12; round++) {
    leave({ process_start: '1' });
    for (const { child } of racers) child.stdin.write(`${round}\n`);
    await Promise.all(racers.map(({ says }) => says(`released ${round}\n`)));

    expect(racers.flatMap(({ output }) => output().match(/Took over/g) ?? [])).toHaveLength(round + 1);
    expect(existsSync(places.lock)).toBe(false);
  }
}, 60_000);

test('a number that another process got since is not the holder', async () => {
  leave({ process_start: '1' });
  await take(0, async () => undefined);
  expect(said[0]).toContain('Took over');
});

test('what held the lock before this host was started anew is gone', async () => {
  leave({ boot_id: 'another' });
  await take(0, async () => undefined);
});

// A deployer in a container, or on another host that has the folder too: only its heartbeat tells.
test.each([
  ['in another container', { pid_namespace: 'pid:[1]' }],
  ['on another host', { boot_id: 'another', host: 'another' }],
])('a holder %s counts as long as its heart beats', async (_, where) => {
  const path = leave({ pid: 999_999_999, ...where });
  await expect(take(0, async () => undefined)).rejects.toMatchObject({ code: EXIT.locked });
  const old = new Date(Date.now() - 61_000);
  utimesSync(path, old, old);
  await take(0, async () => undefined);
});

test('a lock that a power cut left empty holds up nobody', async () => {
  writeFileSync(leave({}), '');
  await take(0, async () => undefined);
});

test('work that fails gives the lock back, and its error is the one that is seen', async () => {
  await expect(take(0, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  expect(lockHolder(places)).toBeNull();
});

test('who lost the lock does not take away the one of the next', async () => {
  await take(0, async () => {
    breakLock(places);
    leave({ id: 'next' });
  });
  expect(lockHolder(places)).toMatchObject({ holder: { id: 'next' } });
});
