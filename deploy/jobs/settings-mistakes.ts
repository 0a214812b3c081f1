import { ConfigError, loadConfig } from '@gatehouse/kit/config';
import type { z } from 'zod';
import { Config as Gateway } from '../../gateway/src/config.ts';
import { Config as Nginx } from '../../nginx/settings.ts';
import { Config as Audit } from '../../services/audit/src/config.ts';
import { Config as Auth } from '../../services/auth/src/config.ts';
import { Config as Org } from '../../services/org/src/config.ts';
import { Config as Worker } from '../../services/worker/src/config.ts';
import { namesExampleDomain } from '../src/secrets/rules.ts';

type Variables = Readonly<Record<string, string>>;

/** What the deployer knows of a deployment. */
export interface Deployment {
  /** The settings as merged: what people wrote. */
  settings: Variables;
  /** The environment that the compose file gives to each of its services: `auth-blue`, `gateway-2-green`. */
  services: Readonly<Record<string, Variables>>;
  /** Settings that the compose file and the deployer read themselves. */
  deploymentKeys: readonly string[];
}

const PROCESSES: Record<string, z.ZodObject> = { auth: Auth, org: Org, audit: Audit, worker: Worker, gateway: Gateway };
/** Listens on every address of its container. */
const EVERYWHERE = { BIND_ADDRESS: '0.0.0.0' };

/** The settings of nginx in a container. */
export function loadNginxConfig(settings: Variables): Nginx {
  return loadConfig(Nginx, { ...settings, ...EVERYWHERE });
}

/**
 * Every mistake that a process of the deployment would end with at its start, each once, and what none of them would
 * notice. Reads the secrets' files as the processes do; never repeats a value.
 */
export function settingsMistakes({ settings, services, deploymentKeys }: Deployment): string[] {
  const mistakes = Object.entries(services).flatMap(([service, variables]) => {
    const schema = PROCESSES[service.split('-')[0] ?? ''];
    return schema ? mistakesOf(() => loadConfig(schema, variables)) : [];
  });
  mistakes.push(...mistakesOf(() => loadNginxConfig(settings)));
  mistakes.push(...unknownKeys(settings, knownKeys(deploymentKeys)));
  if (settings['ENVIRONMENT'] === 'production')
    for (const [key, value] of Object.entries(settings))
      if (namesExampleDomain(value)) mistakes.push(`${key}: names an example domain, which belongs to nobody`);
  return [...new Set(mistakes)];
}

/** Every setting that somebody reads. */
export function knownKeys(deploymentKeys: readonly string[]): Set<string> {
  const schemas = [...Object.values(PROCESSES), Nginx];
  return new Set([...schemas.flatMap((schema) => Object.keys(schema.shape)), ...deploymentKeys]);
}

function unknownKeys(settings: Variables, known: ReadonlySet<string>): string[] {
  return Object.keys(settings)
    .filter((key) => !known.has(key))
    .map((key) => {
      const nearest = nearestOf(key, known);
      return `${key}: nobody reads such a setting${nearest ? `; ${nearest}?` : ''}`;
    });
}

function nearestOf(key: string, known: ReadonlySet<string>): string | undefined {
  const ranked = [...known].map((name) => [distance(key, name), name] as const).sort(([one], [other]) => one - other);
  const [best] = ranked;
  return best && best[0] <= Math.max(2, key.length / 4) ? best[1] : undefined;
}

/** How many letters must be changed, added or dropped to make one word of the other (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1];
    for (const [column, target] of [...other].entries())
      next.push(
        Math.min((row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1, (row[column] ?? 0) + (letter === target ? 0 : 1)),
      );
    row = next;
  }
  return row[other.length] ?? 0;
}

function mistakesOf(load: () => unknown): string[] {
  try {
    load();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
}
