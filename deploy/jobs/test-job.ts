import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A job as the tools image runs it: `node <script> <args>`, with these variables and no other. */
export function runJob(script: string, env: Record<string, string>, args: readonly string[] = []) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (output[name] += chunk.toString()));
  return new Promise<{ code: number; stdout: string; stderr: string }>((done) =>
    child.once('close', (code) => done({ code: code ?? 1, ...output })),
  );
}
