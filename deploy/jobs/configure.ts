// Judges the settings and the secrets by the processes' own schemas, and renders nginx's files. Reads a deployment on
// standard input; writes {mistakes, files} to standard output.
import { text } from 'node:stream/consumers';
import { renderNginx } from '../../nginx/render.ts';
import { nginxSettings } from '../../nginx/settings.ts';
import { type Deployment, loadNginxConfig, settingsMistakes } from './settings-mistakes.ts';

interface Edge {
  /** host:port of every gateway that is live. */
  gateways: readonly string[];
  /** The address of nginx's exporter. */
  opsAllow: readonly string[];
}

/** The files of an nginx in a container: where things are there, docker-compose.production.yml says. */
export function renderEdgeFiles(
  settings: Deployment['settings'],
  { gateways, opsAllow }: Edge,
): Record<string, string> {
  const options = nginxSettings(loadNginxConfig(settings), {
    addresses: ['0.0.0.0'],
    gateways,
    opsAllow,
    certificate: '/etc/gatehouse-tls/fullchain.pem',
    certificateKey: '/etc/gatehouse-tls/privkey.pem',
    accessLog: '/dev/stdout',
    errorLog: '/dev/stderr',
  });
  return renderNginx({
    ...options,
    runDir: '/run/nginx',
    tempDir: '/var/cache/nginx',
    flagsDir: '/etc/gatehouse/flags',
    http2: 'directive',
  });
}

if (import.meta.main) {
  const deployment = JSON.parse(await text(process.stdin)) as Deployment & Edge;
  const mistakes = settingsMistakes(deployment);
  const files = mistakes.length > 0 ? {} : renderEdgeFiles(deployment.settings, deployment);
  process.stdout.write(`${JSON.stringify({ mistakes, files })}\n`);
}
