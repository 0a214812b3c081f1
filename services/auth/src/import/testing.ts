import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AuthUnderTest } from '../testing.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

/** The import as a process of its own; settings that are undefined are left out. */
export function runImport(auth: AuthUnderTest, file: string, over: Record<string, string | undefined> = {}) {
  const { host, port, database, password } = auth.database.connection('auth');
  const env = {
    PATH: process.env['PATH'],
    DATABASE_HOST: host,
    DATABASE_PORT: String(port),
    DATABASE_NAME: database,
    DATABASE_TLS: 'off',
    AUTH_DATABASE_PASSWORD: password,
    FILE: file,
    ...over,
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (output[name] += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', done)).then((code) => ({ code, ...output }));
  return { child, ended };
}
