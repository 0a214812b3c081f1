import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { findNginx } from './nginx.ts';
import { SetupError } from './setup-error.ts';

/** Makes sure that nginx and redis-server are there; returns the packages that it had to install for that. */
export function ensurePrograms(onProgress: (line: string) => void = () => undefined): string[] {
  const missing = missingPackages();
  if (missing.length === 0) return [];
  const command = `apt-get install --yes --no-install-recommends ${missing.join(' ')}`;
  const isDebian = existsSync('/etc/debian_version') && findInPath('apt-get') !== undefined;
  if (!isDebian) throw new SetupError(`Missing: ${missing.join(', ')}. Install them with your system's packages.`);
  if (process.getuid?.() !== 0)
    throw new SetupError(`Missing: ${missing.join(', ')}. Install with: sudo apt-get update && sudo ${command}`);
  onProgress(`installing ${missing.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (line: string) => spawnSync('/bin/sh', ['-c', line], { env, encoding: 'utf8' });
  let done = run(command);
  // A machine whose package lists are old or empty finds nothing at first.
  if (done.status !== 0) done = run(`apt-get update && ${command}`);
  if (done.status !== 0 || missingPackages().length > 0) {
    const reason = done.stderr.trim().split('\n').at(-1) ?? '';
    throw new SetupError(`Could not install ${missing.join(', ')} (${reason}). Try: apt-get update && ${command}`);
  }
  return missing;
}

/** Throws with one line per port that is taken, naming the setting that asks for it. */
export async function ensurePortsFree(ports: Map<number, string>): Promise<void> {
  const taken: string[] = [];
  for (const [port, setting] of ports) if (!(await isFree(port))) taken.push(`port ${port} is in use (${setting})`);
  if (taken.length === 0) return;
  const [first = ''] = taken;
  const setting = /\((.*)\)/.exec(first)?.[1] ?? '';
  const hint = setting.endsWith('_PORT') ? `, or choose another: ${setting}=… make up` : ` or change ${setting}`;
  const more = taken.length > 1 ? ` Also: ${taken.slice(1).join(', ')}.` : '';
  throw new SetupError(`${first.replace(/^p/, 'P')}. Stop what uses it${hint}.${more}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function missingPackages(): string[] {
  const missing: string[] = [];
  if (!findNginx()) missing.push('nginx');
  if (!findInPath('redis-server')) missing.push('redis-server');
  return missing;
}

function findInPath(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(':')
    .map((dir) => join(dir || '.', program))
    .find((path) => existsSync(path));
}
