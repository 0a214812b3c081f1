// The door: what every command does before there is anything deployed. Mounting a full disk needs the rights of root.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { must, run } from './src/command.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
let root: string;
const children: ChildProcess[] = [];

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

function make(target: string, variables: Record<string, string> = {}) {
  const base = { ENV: 'staging', PROJECT: 'gatehouse-cli-test', STATE_DIR: join(root, 'state'), JSON: '1', CI: '1' };
  return run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, target], {
    env: { ...base, ...variables },
  });
}

const events = (stdout: string) =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test.each([
  ['no environment', 'status', { ENV: '' }],
  ['an unknown one', 'status', { ENV: 'prod' }],
  ['an unknown command', 'explode', {}],
  ['a flag that is none', 'status', { CONTRACT: 'yes' }],
  ['a revision that is none', 'status', { REVISION: 'no-such' }],
])('%s is a mistake in usage', async (_, target, variables) => {
  const { code, stdout } = await make(target, variables);
  expect([code, events(stdout)]).toEqual([2, [expect.objectContaining({ event: 'finish', exit: 2 })]]);
});

test('commands that look leave nothing behind on a host without a deployment', async () => {
  for (const target of ['status', 'releases', 'unlock'])
    expect([target, (await make(target)).code]).toEqual([target, 0]);
  expect((await make('doctor')).code).toBe(10);
  expect(existsSync(join(root, 'state'))).toBe(false);
  const left = ['ps', '-aq', '--filter', 'label=com.docker.compose.project=gatehouse-cli-test'];
  expect(await must('docker', left)).toBe('');
}, 60_000);

// Guards the clearing of the environment in main.ts: Compose would take the shell's value, and refuse the port.
test('a shell with a setting in it does not change what is deployed', async () => {
  const { stdout } = await make('doctor', { PUBLISH_HTTPS_PORT: 'nonsense' });
  expect(events(stdout)[0].findings.filter(({ topic }: { topic: string }) => topic === 'compose file')).toEqual([]);
}, 30_000);

test('the doctor names a state folder on a disk that is full', async () => {
  const disk = join(root, 'disk');
  mkdirSync(disk);
  await must('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]);
  try {
    const { code, stdout } = await make('doctor', { STATE_DIR: join(disk, 'state'), DISK_MIN_GB: '1' });
    const [doctor] = events(stdout);
    const full = doctor.findings.filter(({ topic }: { topic: string }) => topic === 'disk');
    expect([code, full]).toEqual([
      10,
      [expect.objectContaining({ what: expect.stringContaining(`${disk}/state has 0.0 GiB free`) })],
    ]);
  } finally {
    await must('umount', [disk]);
  }
}, 30_000);

test('a lock that is held is taken away only with force and by name', async () => {
  const state = join(root, 'locked');
  const holder = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'src/test-lock-holder.ts'),
    state,
  ]);
  children.push(holder);
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  expect((await make('unlock', { STATE_DIR: state })).code).toBe(12);
  expect((await make('unlock', { STATE_DIR: state, FORCE: '1' })).code).toBe(2);
  expect(readdirSync(state)).toEqual(['lock']);
  expect((await make('unlock', { STATE_DIR: state, FORCE: '1', CONFIRM: 'staging' })).code).toBe(0);
  expect(readdirSync(state)).toEqual([]);
}, 30_000);

test('a command that is stopped while it waits ends with 130 and leaves the lock to its holder', async () => {
  const state = join(root, 'waiting');
  const script = join(import.meta.dirname, 'src/test-lock-holder.ts');
  const holder = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, state]);
  children.push(holder);
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const env = { ...process.env, ENV: 'staging', STATE_DIR: state, PROJECT: 'gatehouse-cli-test', JSON: '1' };
  const waiting = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, 'rollback'], { env });
  children.push(waiting);
  let output = '';
  waiting.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (text.includes('Waiting for make deploy')) waiting.kill('SIGTERM');
  });
  expect(await new Promise((resolve) => waiting.once('close', resolve))).toBe(130);
  expect(events(output).at(-1)).toMatchObject({ event: 'finish', exit: 130, message: 'Stopped by SIGTERM' });
  expect(readdirSync(join(state, 'lock'))).toEqual(['holder-0.json']);
}, 30_000);
