import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';

/** Every mistake of a process's settings at once. A main exits with 78 (EX_CONFIG of sysexits.h) on it. */
export class ConfigError extends Error {
  readonly mistakes: string[];

  constructor(mistakes: string[]) {
    super(`configuration is invalid:\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`);
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

const EXAMPLE =
  /change[-_ ]?me|example|placeholder|replace[-_ ]?(me|this)|your[-_ ]|^(secret|password|default|test|dev)/i;

/** A secret: at least `min` characters, no default, not an example value, not a worn-out key of the keyboard. */
export function secret({ min = 32 }: { min?: number } = {}) {
  return z
    .string()
    .min(min, `must have at least ${min} characters`)
    .refine((value) => !EXAMPLE.test(value), 'is an example value; make one with: openssl rand -base64 48')
    .refine((value) => new Set(value).size >= 10, 'is too simple; make one with: openssl rand -base64 48')
    .meta({ secret: true });
}

/** A secret that only a development machine may do without. */
export function secretOutsideDevelopment(options: { min?: number } = {}) {
  return secret(options).optional().meta({ requiredOutsideDevelopment: true });
}

/** A key in PEM form; secret when it is a private one. */
export function pem({ secret: isSecret }: { secret: boolean }) {
  return z
    .string()
    .regex(/-----BEGIN [A-Z ]+-----/, 'must be a key in PEM form')
    .meta({ secret: isSecret });
}

export const port = () => z.coerce.number().int().min(0).max(65535);
export const count = (min = 1, max = Number.MAX_SAFE_INTEGER) => z.coerce.number().int().min(min).max(max);
export const url = () => z.url({ protocol: /^(https?|rediss?)$/ });
export const flag = () => z.enum(['on', 'off']).transform((value) => value === 'on');
/** A comma-separated list; empty when unset. */
export const list = () =>
  z
    .string()
    .default('')
    .transform((value) =>
      value
        .split(',')
        .map((item) => item.trim())
        .filter(Boolean),
    );

/** Settings that every process has. Spread into its own object. */
export const processSettings = {
  ENVIRONMENT: z.enum(['development', 'staging', 'production']),
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).transform((value) => value.replace(/\/+$/, '')),
  BIND_ADDRESS: z.string(),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']),
  LOG_DIR: z.string().optional(),
  SHUTDOWN_GRACE_MS: count(0, 30_000),
  SENTRY_DSN: z.url().meta({ secret: true }).optional(),
  SENTRY_TRACES_SAMPLE_RATE: z.coerce.number().min(0).max(1),
  SENTRY_PROFILES_SAMPLE_RATE: z.coerce.number().min(0).max(1),
};

export const databaseSettings = {
  DATABASE_HOST: z.string(),
  DATABASE_PORT: port(),
  DATABASE_NAME: z.string(),
  DATABASE_TLS: flag(),
};

export const redisSettings = {
  REDIS_URL: z.url({ protocol: /^rediss?$/ }),
  REDIS_PASSWORD: secretOutsideDevelopment({ min: 16 }),
};

/**
 * Reads the keys of a schema from the environment, each as `NAME` or from the file that `NAME_FILE` names.
 * An empty value counts as unset. Throws a ConfigError that lists every mistake; values are never repeated in it.
 */
export function loadConfig<S extends z.ZodObject>(schema: S, env: NodeJS.ProcessEnv): z.output<S> {
  const mistakes: string[] = [];
  const values: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    const value = read(name, env, isSecret(schema.shape[name]), mistakes);
    if (value) values[name] = value;
    else if (env.ENVIRONMENT !== 'development' && schema.shape[name]?.meta()?.requiredOutsideDevelopment)
      mistakes.push(`${name}: is required outside development`);
  }
  const parsed = schema.safeParse(values);
  if (!parsed.success)
    for (const issue of parsed.error.issues) {
      const name = String(issue.path[0] ?? '');
      mistakes.push(name in values || !name ? `${name}: ${issue.message}` : `${name}: is required`);
    }
  if (mistakes.length > 0 || !parsed.success) throw new ConfigError([...new Set(mistakes)]);
  return parsed.data;
}

/** Whether a setting's schema marks it as a secret, also behind `optional()`. */
export function isSecret(schema: unknown): boolean {
  let current = schema as z.ZodType | undefined;
  while (current) {
    if (current.meta()?.secret === true) return true;
    current = (current as { def?: { innerType?: z.ZodType } }).def?.innerType;
  }
  return false;
}

function read(name: string, env: NodeJS.ProcessEnv, secretValue: boolean, mistakes: string[]): string | undefined {
  const file = env[`${name}_FILE`];
  if (!file) return env[name];
  if (env[name]) mistakes.push(`${name}: both ${name} and ${name}_FILE are set`);
  try {
    if (secretValue && (statSync(file).mode & 0o007) !== 0)
      mistakes.push(`${name}: the file that ${name}_FILE names is open to everyone; chmod it to 0400`);
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    mistakes.push(`${name}: ${name}_FILE cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}
