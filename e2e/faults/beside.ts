import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { freePort } from '@gatehouse/testkit/process';
import { ROOT } from '../../dev/src/platform.ts';
import { plain } from '../house/plain.ts';
import { until } from '../house/wait.ts';
import type { Scene } from './scene.ts';

export const NAMES = ['auth', 'org', 'audit', 'worker', 'gateway'] as const;
export type Name = (typeof NAMES)[number];

export interface Beside {
  child: ChildProcess;
  port: number;
  opsPort: number;
  output(): string;
  /** The exit code, once all that it wrote is there. */
  closed: Promise<number | null>;
  ready(timeoutMs?: number): Promise<void>;
}

interface Options {
  /** Where its log goes in place of a pipe that is read: a descriptor, or a pipe that nobody reads. */
  stdout?: number | 'unread';
}

/** Another process like the running one, beside it, with some of its settings changed; undefined takes one away. */
export async function startBeside(
  scene: Scene,
  name: Name,
  changes: Record<string, string | undefined> = {},
  { stdout }: Options = {},
): Promise<Beside> {
  const pid = scene.platform.process(name).pid();
  const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
  const env = Object.fromEntries(
    variables.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const [port, opsPort] = [await freePort(), await freePort()];
  const upper = name.toUpperCase();
  Object.assign(env, { [`${upper}_PORT`]: String(port), [`${upper}_OPS_PORT`]: String(opsPort) });
  for (const [key, value] of Object.entries(changes)) {
    delete env[`${key}_FILE`];
    if (value === undefined) delete env[key];
    else env[key] = value;
  }
  const main = name === 'gateway' ? 'gateway/src/main.ts' : `services/${name}/src/main.ts`;
  const out = typeof stdout === 'number' ? stdout : 'pipe';
  const child = spawn(process.execPath, [main], { cwd: ROOT, env, stdio: ['ignore', out, 'pipe'] });
  let output = '';
  for (const stream of [stdout === undefined ? child.stdout : null, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const closed = once(child, stdout === undefined ? 'close' : 'exit').then(([code]) => code as number | null);
  return {
    child,
    port,
    opsPort,
    output: () => output,
    closed,
    async ready(timeoutMs = 15_000) {
      const readyz = () => plain(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined);
      await until(`${name} is ready`, timeoutMs, readyz, (answer) => answer?.status === 200);
    },
  };
}
