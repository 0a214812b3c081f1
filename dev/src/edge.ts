import { existsSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Config, nginxSettings } from '../../nginx/settings.ts';
import type { Certificates } from './certificates.ts';
import type { Endings } from './endings.ts';
import { listenAddresses, type RunningNginx, startNginx } from './nginx.ts';
import type { ManagedProcess } from './processes.ts';
import type { RunState } from './run-state.ts';
import type { Settings } from './settings.ts';
import { SetupError } from './setup-error.ts';

interface EdgeOptions {
  settings: Settings;
  dataDir: string;
  logDir: string;
  certificates: Certificates;
  processes: readonly ManagedProcess[];
  endings: Endings;
  state: RunState;
  done: (step: string, detail: string) => void;
}

const LOG_MAX_BYTES = 10 * 1024 * 1024;

/** nginx's part of the settings, all mistakes in one line. */
export function parseNginxConfig(settings: Settings): Config {
  const parsed = Config.safeParse(settings);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new SetupError(`nginx refuses its settings: ${mistakes.join('; ')}`);
}

/** Starts nginx in front of the gateways. */
export async function startEdge(options: EdgeOptions): Promise<RunningNginx> {
  const { settings, dataDir, logDir, certificates, processes, endings, state, done } = options;
  const config = parseNginxConfig(settings);
  const running = processes.filter(({ name }) => name.startsWith('gateway')).map(({ url }) => url);
  // Where the platform runs no gateway, the settings say whose it is.
  const gateways = running.length > 0 ? running : [settings['GATEWAY_URL'] ?? ''];
  const [accessLog, errorLog] = [join(logDir, 'nginx-access.log'), join(logDir, 'nginx-error.log')];
  for (const log of [accessLog, errorLog])
    if (existsSync(log) && statSync(log).size > LOG_MAX_BYTES) renameSync(log, `${log}.1`);
  const nginx = await startNginx(
    join(dataDir, 'nginx'),
    nginxSettings(config, {
      addresses: listenAddresses(config.BIND_ADDRESS),
      gateways: gateways.map((url) => new URL(url).host),
      certificate: certificates.certificate,
      certificateKey: certificates.key,
      accessLog,
      errorLog,
    }),
  );
  state.add('nginx', nginx.pid);
  endings.add(nginx.stop);
  done('nginx', settings['PUBLIC_URL'] ?? '');
  return nginx;
}
