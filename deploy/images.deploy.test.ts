// What every image keeps to, and what a change of the code costs. Built from the files of HEAD, under tags of its own.

import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { must, run } from './src/command.ts';
import { EXIT } from './src/failure.ts';
import { type BuiltImage, buildImages, IMAGES } from './src/images.ts';
import { placesOf } from './src/places.ts';
import { CHECKOUT } from './src/project.ts';

const MINUTE = 60_000;
const MB = 1_000_000;
const PROCESSES = ['auth', 'org', 'audit', 'worker', 'gateway'];
// Their code is ours; the database's and the deployer's is Debian's.
const WITH_OUR_CODE = [...PROCESSES, 'tools', 'example'];
const NAMES = IMAGES.map(({ name }) => name);

const folder = mkdtempSync(join(tmpdir(), 'images-test-'));
const context = { places: placesOf(join(folder, 'state')) };
const source = join(folder, 'source');
const revision = randomBytes(20).toString('hex');
const references: string[] = [];
const images = new Map<string, Inspected>();

beforeAll(async () => {
  const archive = join(folder, 'source.tar');
  mkdirSync(source);
  await must('git', ['-C', CHECKOUT, 'archive', `--output=${archive}`, 'HEAD']);
  await must('tar', ['-xf', archive, '-C', source]);
  for (const image of await build(revision, source, NAMES)) images.set(image.name, await inspect(image.reference));
}, 10 * MINUTE);

afterAll(async () => {
  // The database's tag is that of its content, and may be somebody else's too.
  const own = references.filter((reference) => !reference.startsWith('gatehouse/database:'));
  await run('docker', ['rmi', ...own]);
  rmSync(folder, { recursive: true, force: true });
}, MINUTE);

test('the dependencies are one layer of the disk for all processes', () => {
  const [auth = [], ...others] = PROCESSES.map((name) => image(name).RootFS.Layers);
  // Above them lie the code of all, in four layers of a few hundred kB that the engine may make more than once, and
  // the two layers of the process.
  const shared = auth.slice(0, -6);

  expect(shared.length).toBeGreaterThan(3);
  for (const layers of others) expect(layers.slice(0, shared.length)).toEqual(shared);
});

test('there is an image of every process, and of what the deployer needs beside them', () => {
  expect([...images.keys()]).toEqual([...PROCESSES, 'tools', 'database', 'example', 'deployer']);
});

describe.each(NAMES)('the image %s', (name) => {
  test('says what it is, of which revision', () => {
    const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
    const labels = { title: `gatehouse/${name}`, version, licenses: 'Apache-2.0' };
    const found = image(name).Config.Labels;

    for (const [key, value] of Object.entries(labels)) expect(found[`org.opencontainers.image.${key}`]).toBe(value);
    // That of the first revision that had the same content.
    if (name !== 'database') expect(found['org.opencontainers.image.revision']).toBe(revision);
  });

  test('is at most 300 MB above its base', async () => {
    const base = await inspect(name === 'database' ? 'postgres:17' : 'node:24-trixie-slim');

    expect((image(name).Size - base.Size) / MB).toBeLessThan(300);
  });

  test('holds no secret, no settings, and no way to another user', async () => {
    const names = ['*.pem', '*.key', '*.p12', '.env*', '.npmrc', '.git', 'id_rsa*', 'id_ed25519*'];
    const patterns = names.flatMap((pattern) => ['-o', '-name', pattern]).slice(1);
    // The public certificates of authorities are none.
    const secret = ['find', '/', '-xdev', '-not', '-path', '/etc/ssl/certs/*', '(', ...patterns, ')', '-type', 'f'];
    const bits = ['find', '/', '-xdev', '-type', 'f', '-perm', '/6000'];

    expect(await inside(name, secret, ['--user', '0'])).toBe('');
    expect(await inside(name, bits, ['--user', '0'])).toBe('');
    const variables = image(name).Config.Env.map((one) => one.split('=', 1)[0] ?? '');
    expect(variables.filter((one) => /PASSWORD|SECRET|TOKEN|PEPPER|DSN|_KEY/.test(one))).toEqual([]);
  });
});

test.each(['database', ...WITH_OUR_CODE])('%s runs as a user by number who is not root', (name) => {
  expect(image(name).Config.User).toBe(name === 'database' ? '999:999' : '10001:10001');
});

describe.each(WITH_OUR_CODE)('the code in %s', (name) => {
  test('cannot be changed by the process', async () => {
    expect(
      await inside(name, ['find', '/app', '(', '-writable', '-o', '-not', '-user', '0', ')', '-not', '-type', 'l']),
    ).toBe('');
  });

  test('comes without tests, and with the production dependencies alone', async () => {
    const tests = ['-name', '*.test.*', '-o', '-name', 'testing.ts', '-o', '-path', '/app/*/src/*', '-name', 'test-*'];
    const installed = await inside(name, ['find', '/app/node_modules', '-name', 'package.json']);
    const lock = JSON.parse(readFileSync(join(source, 'package-lock.json'), 'utf8')) as Lock;
    const dev = Object.entries(lock.packages).filter(([, entry]) => entry.dev || entry.devOptional);
    const present = new Set(installed.split('\n').map((path) => path.slice('/app/'.length, -'/package.json'.length)));

    expect(await inside(name, ['find', '/app', ...tests])).toBe('');
    expect(present).toContain('node_modules/zod');
    expect(dev.map(([path]) => path)).toEqual(expect.arrayContaining(['node_modules/jest', 'node_modules/typescript']));
    expect(dev.map(([path]) => path).filter((path) => present.has(path))).toEqual([]);
    expect(await inside(name, ['sh', '-c', 'command -v npm npx yarn corepack || true'])).toBe('');
  });
});

describe.each(PROCESSES)('the process %s', (name) => {
  test('is started without a shell, and asked for its health', () => {
    const { Cmd, Entrypoint, StopSignal, Healthcheck, Env } = image(name).Config;
    const main = name === 'gateway' ? 'gateway/src/main.ts' : `services/${name}/src/main.ts`;

    expect(Entrypoint ?? []).not.toContain('/bin/sh');
    expect([Cmd.at(0), Cmd.at(-1)]).toEqual(['node', main]);
    expect(Cmd).toEqual(expect.arrayContaining(['--import', './packages/kit/src/instrument.ts']));
    expect(Cmd.includes('--max-semi-space-size=4')).toBe(name !== 'gateway');
    expect(StopSignal).toBe('SIGTERM');
    expect(Env).toContain(`GATEHOUSE_REVISION=${revision}`);
    const seconds = (count: number) => count * 1e9;
    expect(Healthcheck).toEqual({
      Test: ['CMD', 'bash', 'deploy/health.sh', `${name.toUpperCase()}_OPS_PORT`],
      Interval: seconds(10),
      Timeout: seconds(3),
      StartPeriod: seconds(20),
      StartInterval: seconds(1),
      Retries: 3,
    });
  });

  test('has the code of no other process', async () => {
    const found = await inside(name, ['find', '/app/services', '/app/gateway', '-maxdepth', '1', '-mindepth', '1']);
    const own = name === 'gateway' ? '/app/gateway/' : `/app/services/${name}`;

    expect(found.split('\n').filter((path) => !path.startsWith(own))).toEqual([]);
    expect(found).not.toBe('');
  });

  // Guards against a cache of other flags, of another user, or that the process may not read: each costs half the start.
  test('finds its code compiled, whatever memory it is given', async () => {
    const options = ['-e', 'NODE_DEBUG_NATIVE=COMPILE_CACHE', '-e', 'NODE_OPTIONS=--max-old-space-size=150'];
    const { code, stdout, stderr } = await run('docker', [
      'run',
      '--rm',
      '--read-only',
      ...options,
      image(name).reference,
    ]);
    const count = (pattern: RegExp) => (stdout + stderr).split('\n').filter((line) => pattern.test(line)).length;

    expect(code).toBe(78);
    expect(count(/was accepted/)).toBeGreaterThan(400);
    expect(count(/was rejected/)).toBe(0);
  });
});

test('the health check tells ready from not ready, and from nobody there', async () => {
  const server = `let status = 200;
    process.on('SIGUSR2', () => { status = 503; console.log('changed'); });
    require('node:http').createServer((req, res) => res.writeHead(req.url === '/readyz' ? status : 404).end('{}'))
      .listen(5000, '127.0.0.1', () => console.log('listening'));`;
  const options = ['-d', '-e', 'GATEWAY_OPS_PORT=5000', image('gateway').reference];
  const id = (await must('docker', ['run', ...options, 'node', '-e', server])).trim();
  const probe = async (variables: string[] = []) =>
    (await run('docker', ['exec', ...variables, id, 'bash', 'deploy/health.sh', 'GATEWAY_OPS_PORT'])).code;
  const health = async () => (await must('docker', ['inspect', '-f', '{{.State.Health.Status}}', id])).trim();
  try {
    // The engine's own first check comes after a second.
    while ((await health()) === 'starting');
    expect(await health()).toBe('healthy');
    expect(await probe()).toBe(0);
    await must('docker', ['kill', '-s', 'USR2', id]);
    while (!(await must('docker', ['logs', id])).includes('changed'));
    expect(await probe()).toBe(1);
    expect(await probe(['-e', 'GATEWAY_OPS_PORT=5001'])).toBe(1);
  } finally {
    await run('docker', ['rm', '-f', id]);
  }
});

test(
  'a release that changes code and version shares its dependencies with the one before, and is built in seconds',
  async () => {
    const { changed, next } = await sourceWith('changed', (path) => {
      appendFileSync(join(path, 'services/auth/src/main.ts'), `// another release than ${revision}\n`);
      changeManifest(path, (manifest) => ({ ...manifest, version: '99.0.0' }));
    });
    const started = performance.now();
    const [built] = await build(next, changed, ['auth']);
    const ms = performance.now() - started;
    const before = image('auth').RootFS.Layers;
    const after = (await inspect(built?.reference ?? '')).RootFS.Layers;
    const base = (await inspect('node:24-trixie-slim')).RootFS.Layers;

    // What weighs, the dependencies, lies below the health check, the two packages, the manifest, the service's code and
    // what was compiled of it.
    expect(after.slice(0, -6)).toEqual(before.slice(0, -6));
    expect(before.slice(0, -6)).toHaveLength(base.length + 3);
    expect(after.at(-2)).not.toBe(before.at(-2));
    expect(ms).toBeLessThan(15_000);
  },
  MINUTE,
);

test('an image that exists is not built again', async () => {
  const again = await build(revision, join(folder, 'source'), ['auth', 'org']);

  expect(again.map(({ id }) => id)).toEqual([image('auth').Id, image('org').Id]);
});

test(
  'code that cannot be loaded does not build, and the failure says why',
  async () => {
    const { changed, next } = await sourceWith('broken', (path) => {
      appendFileSync(join(path, 'services/org/src/app.ts'), "import './nowhere.ts';\n");
    });
    const failure = await build(next, changed, ['org']).catch((error) => error);

    expect(failure).toMatchObject({ code: EXIT.build, message: 'The image gatehouse/org does not build' });
    expect(failure.lines.join('\n')).toContain('nowhere.ts');
    const log = /All of it: (.+)/.exec(failure.lines.join('\n'))?.[1] ?? '';
    expect(readFileSync(log, 'utf8')).toContain('nowhere.ts');
  },
  MINUTE,
);

interface Inspected {
  reference: string;
  Id: string;
  Size: number;
  RootFS: { Layers: string[] };
  Config: {
    User: string;
    Env: string[];
    Cmd: string[];
    Entrypoint: string[] | null;
    StopSignal: string;
    Labels: Record<string, string>;
    Healthcheck: unknown;
  };
}

interface Lock {
  packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
}

function image(name: string): Inspected {
  const found = images.get(name);
  if (!found) throw new Error(`there is no image ${name}`);
  return found;
}

async function inspect(reference: string): Promise<Inspected> {
  const [found] = JSON.parse(await must('docker', ['image', 'inspect', reference]));
  return { ...found, reference };
}

async function build(of: string, from: string, names: readonly string[]): Promise<BuiltImage[]> {
  const built = await buildImages(context, { revision: of, source: from, names });
  references.push(...built.map(({ reference }) => reference));
  return built;
}

async function sourceWith(name: string, change: (path: string) => void): Promise<{ changed: string; next: string }> {
  const changed = join(folder, name);
  // With the modes of folders, which are content to BuildKit.
  await must('cp', ['-a', source, changed]);
  change(changed);
  return { changed, next: randomBytes(20).toString('hex') };
}

function changeManifest(path: string, change: (manifest: object) => object): void {
  const file = join(path, 'package.json');
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')))));
}

/** What a program prints in a container of the image, as the image's user unless told otherwise. */
async function inside(name: string, command: readonly string[], options: readonly string[] = []): Promise<string> {
  const [program = '', ...args] = command;
  const head = ['run', '--rm', '--network', 'none', ...options, '--entrypoint', program, image(name).reference];
  return (await run('docker', [...head, ...args])).stdout.trim();
}
