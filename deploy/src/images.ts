import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import type { Context } from './context.ts';
import { EXIT, Failure } from './failure.ts';

interface Image {
  name: string;
  /** The stage of the Dockerfile. */
  target: string;
  /** Its `ARG SERVICE`. */
  service?: string;
}

const serviceImage = (name: string): Image => ({ name, target: 'service', service: name });
const stageImage = (name: string): Image => ({ name, target: name });

/** Every image of the repository, as `gatehouse/<name>`. */
export const IMAGES: readonly Image[] = [
  ...['auth', 'org', 'audit', 'worker', 'gateway'].map(serviceImage),
  ...['tools', 'database', 'example', 'deployer'].map(stageImage),
];

/** What a deployment runs; the deployer's own image is for hosts without Node, which build it before they start it. */
const DEPLOYED = IMAGES.map(({ name }) => name).filter((name) => name !== 'deployer');

export interface BuildOptions {
  /** Of the commit that `source` was taken from; the first twelve digits are the tag. */
  revision: string;
  /** The folder with the files of that commit. */
  source: string;
  /** Names of images; without it, those that a deployment runs. */
  names?: readonly string[];
  /** Where BuildKit's output is kept, a file an image; without it, in the release's folder. */
  logs?: string;
}

export interface BuiltImage {
  name: string;
  /** `gatehouse/auth:0123456789ab` */
  reference: string;
  id: string;
}

/**
 * Builds the images of a revision. A reference that exists is used as it is, since it was built from the same files.
 * Throws a Failure with code 30.
 */
export async function buildImages(context: Pick<Context, 'places'>, options: BuildOptions): Promise<BuiltImage[]> {
  const { revision, source, names = DEPLOYED } = options;
  const logs = options.logs ?? join(context.places.releases, revision.slice(0, 12), 'build');
  const build = { revision, source, logs, shared: await sharedArguments(revision, source) };
  // The first one makes the layers that others share: builds that begin together would make some of them twice.
  const [first, ...others] = IMAGES.filter(({ name }) => names.includes(name));
  if (!first) return [];
  const built = await ensureImage(first, build);
  const outcomes = await Promise.allSettled(others.map((image) => ensureImage(image, build)));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  return [built, ...outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))];
}

/** The tag of the database image: twelve digits of a hash of all that goes into it. */
export function databaseTag(source: string): string {
  const hash = createHash('sha256').update(stageText(readFileSync(join(source, 'Dockerfile'), 'utf8'), 'database'));
  const folder = join(source, 'deploy/database');
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [];
  const files = entries.filter((entry) => entry.isFile() && !/\.(md|test\.ts)$/.test(entry.name));
  const paths = files.map((file) => join(file.parentPath, file.name)).sort();
  for (const path of paths) hash.update(`\0${path.slice(folder.length)}\0`).update(readFileSync(path));
  return hash.digest('hex').slice(0, 12);
}

function stageText(dockerfile: string, name: string): string {
  const [first = '', ...rest] = dockerfile.split(/^(?=FROM )/m).filter((text) => text.startsWith('FROM '));
  const found = [first, ...rest].find((text) => text.split('\n', 1)[0]?.endsWith(` AS ${name}`));
  if (!found) throw new Failure(EXIT.build, `The Dockerfile has no stage ${name}`);
  // The comment above a FROM belongs to the next stage.
  return found.replace(/(\n#[^\n]*|\n)*$/, '\n');
}

interface Build {
  revision: string;
  source: string;
  logs: string;
  shared: readonly string[];
}

async function ensureImage(image: Image, build: Build): Promise<BuiltImage> {
  const tag = image.name === 'database' ? databaseTag(build.source) : build.revision.slice(0, 12);
  const reference = `gatehouse/${image.name}:${tag}`;
  const existing = await imageId(reference);
  if (existing) return { name: image.name, reference, id: existing };
  await buildImage(image, reference, build);
  const id = await imageId(reference);
  if (!id) throw new Failure(EXIT.build, `${reference} was built, and the engine does not have it`);
  return { name: image.name, reference, id };
}

async function buildImage(image: Image, reference: string, { source, logs, shared }: Build): Promise<void> {
  const service = image.service ? ['--build-arg', `SERVICE=${image.service}`] : [];
  const args = ['build', '--progress=plain', '--target', image.target, ...service, ...shared, '-t', reference, source];
  const { code, stdout, stderr } = await run('docker', args, { env: BUILDKIT, timeoutMs: BUILD_TIMEOUT_MS });
  const output = stdout + stderr;
  const log = join(logs, `${image.name}.log`);
  mkdirSync(logs, { recursive: true });
  writeFileSync(log, output);
  if (code === 0) return;
  const last = output.trimEnd().split('\n').slice(-LAST_LINES);
  throw new Failure(EXIT.build, `The image gatehouse/${image.name} does not build`, [
    ...last.map((line) => `  ${line}`),
    `All of it: ${log}`,
    'Nothing was changed. Correct the cause, commit where it is in the code, and run the command again.',
  ]);
}

const LAST_LINES = 25;
const BUILD_TIMEOUT_MS = 20 * 60_000;
// Attestations carry the time of the build: an image that did not change would get another id.
const BUILDKIT = { DOCKER_BUILDKIT: '1', BUILDX_NO_DEFAULT_ATTESTATIONS: '1' };

async function imageId(reference: string): Promise<string | undefined> {
  const { code, stdout } = await run('docker', ['image', 'inspect', '--format', '{{.Id}}', reference]);
  return code === 0 ? stdout.trim() : undefined;
}

async function sharedArguments(revision: string, source: string): Promise<string[]> {
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
  const args = ['--build-arg', `VERSION=${version}`, '--build-arg', `REVISION=${revision}`];
  const repository = await repositoryUrl();
  return repository ? [...args, '--label', `org.opencontainers.image.source=${repository}`] : args;
}

/** Where the code comes from, without the name and the password that such an address may hold. */
async function repositoryUrl(): Promise<string | undefined> {
  const { code, stdout } = await run('git', ['-C', import.meta.dirname, 'remote', 'get-url', 'origin']);
  if (code !== 0 || !/^https?:/.test(stdout) || !URL.canParse(stdout.trim())) return undefined;
  const { origin, pathname } = new URL(stdout.trim());
  return `${origin}${pathname}`;
}
