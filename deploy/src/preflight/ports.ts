import { createServer } from 'node:net';
import { must } from '../command.ts';
import type { Context, Settings } from '../context.ts';
import { error, type Finding } from './findings.ts';

export type PortState = 'free' | 'taken' | 'no such address' | 'not allowed';

/** Finds out by listening for a moment. */
export function probePort(host: string, port: number): Promise<PortState> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'EADDRINUSE') resolve('taken');
      else if (code === 'EADDRNOTAVAIL' || code === 'EINVAL') resolve('no such address');
      // Of no meaning for the engine, which may.
      else if (code === 'EACCES') resolve('not allowed');
      else reject(new Error(message));
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve('free')));
  });
}

export async function judgePorts(settings: Settings, ours: readonly number[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const host = settings['PUBLISH_ADDRESS'] || '0.0.0.0';
  for (const key of ['PUBLISH_HTTP_PORT', 'PUBLISH_HTTPS_PORT']) {
    const port = Number(settings[key]);
    if (ours.includes(port)) continue;
    const state = await probePort(host, port);
    if (state === 'taken')
      findings.push(
        error('ports', `${key}=${port} is taken by another program`, `Stop it (ss -ltnp 'sport = :${port}')`),
      );
    if (state === 'no such address')
      findings.push(error('ports', `PUBLISH_ADDRESS=${host} is no address of this host`, 'Set one, or 0.0.0.0'));
  }
  return findings;
}

/** What this project's nginx publishes already. */
export async function ownPorts({ compose }: Context): Promise<number[]> {
  const [nginx] = await compose.containers(['nginx']);
  if (nginx?.state !== 'running') return [];
  const format = '{{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}} {{end}}{{end}}';
  const ports = await must('docker', ['inspect', '--format', format, nginx.id]);
  return ports.split(/\s+/).filter(Boolean).map(Number);
}
