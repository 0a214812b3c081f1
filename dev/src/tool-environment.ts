import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSettings, type Settings } from './settings.ts';

/**
 * Settings for a tool that works on a database: `.env.development` and the local platform's secret, each overridden by
 * the environment, so that the same command serves a database elsewhere.
 */
export function toolEnvironment(root: string, env: NodeJS.ProcessEnv, secret: string): Settings {
  const settings = readSettings(root, env);
  const [file, given] = [`${secret}_FILE`, env[secret]];
  if (given) return { ...settings, [secret]: given };
  const local = join(root, '.data', 'secrets', secret);
  const path = env[file] ?? (existsSync(local) ? local : undefined);
  return path ? { ...settings, [file]: path } : settings;
}
