import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endChild, freePort, waitForOutput } from '@gatehouse/testkit/process';
import { findNginx } from '../dev/src/nginx.ts';

/** A server that something is compared with. */
export interface Reference {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** A server that says hello, or answers with what one query finds. */
export async function startHello(query?: { DATABASE: string; USER_ID: string }): Promise<Reference> {
  const port = await freePort();
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hello.ts')], {
    env: { PORT: String(port), ...query },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await waitForOutput(child, /listening/, 'hello');
  return reference(port, child);
}

/** An upstream that costs next to nothing, so that it is never what is measured. */
export function startUpstream(): Promise<Reference> {
  return startNginx(
    (port) => `server {
    listen 127.0.0.1:${port};
    location / { default_type application/json; return 200 '{"hello":"world"}'; }
  }`,
  );
}

/** The plainest nginx that forwards over kept connections. */
export function startProxy(upstreamUrl: string): Promise<Reference> {
  const { host } = new URL(upstreamUrl);
  return startNginx(
    (port) => `upstream up { server ${host}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }`,
  );
}

/** One worker: what it is compared with is one process, too. */
async function startNginx(site: (port: number) => string): Promise<Reference> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  mkdirSync(join(dir, 'temp'), { mode: 0o777 });
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${dir}/temp/${name};`,
  );
  writeFileSync(
    join(dir, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; ${temp.join(' ')}
  ${site(port)}
}
`,
  );
  const program = findNginx() ?? 'nginx';
  const child = spawn(program, ['-c', join(dir, 'nginx.conf'), '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await waitForOutput(child, /start worker process /, 'nginx');
  const { stop, ...rest } = reference(port, child);
  return { ...rest, stop: () => stop().finally(() => rmSync(dir, { recursive: true, force: true })) };
}

function reference(port: number, child: ChildProcess): Reference {
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    stop: () => endChild(child, 'SIGTERM', 'SIGKILL'),
  };
}
