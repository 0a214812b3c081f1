import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSettings, type Settings } from './settings.ts';

/**
 * Settings for a tool that works on a database: `.env.development` and the local platform's secrets, each overridden by
 * the environment, so that the same command serves a database elsewhere.
 */
export function toolEnvironment(root: string, env: NodeJS.ProcessEnv, ...secrets: string[]): Settings {
  const settings = readSettings(root, env);
  for (const secret of secrets) Object.assign(settings, variableOf(root, env, secret));
  return settings;
}

function variableOf(root: string, env: NodeJS.ProcessEnv, secret: string): Settings {
  const [file, given] = [`${secret}_FILE`, env[secret]];
  if (given) return { [secret]: given };
  const local = join(root, '.data', 'secrets', secret);
  const path = env[file] ?? (existsSync(local) ? local : undefined);
  return path ? { [file]: path } : {};
}
