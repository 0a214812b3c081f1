import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type ProcessName = 'auth' | 'org' | 'audit' | 'worker' | 'gateway';

/** Which process gets which secrets: none sees one that it does not need. */
const HOLDERS: Record<ProcessName, readonly string[]> = {
  auth: ['JWT_SECRET', 'PASSWORD_PEPPER', 'MAIL_KEY', 'IDENTITY_PUBLIC_KEYS'],
  org: ['MAIL_KEY', 'IDENTITY_PUBLIC_KEYS'],
  audit: ['IDENTITY_PUBLIC_KEYS'],
  worker: ['MAIL_KEY', 'IDENTITY_PUBLIC_KEYS'],
  gateway: ['IDENTITY_PRIVATE_KEY'],
};
/** Secrets that development does without; whoever sets one in the environment has it passed on to its process. */
const OPTIONAL: Partial<Record<ProcessName, readonly string[]>> = {
  auth: ['BOOTSTRAP_SECRET', 'JWT_SECRET_ALTERNATE', 'MAIL_KEY_ALTERNATE'],
  org: ['MAIL_KEY_ALTERNATE'],
  worker: ['MAIL_KEY_ALTERNATE', 'SMTP_PASSWORD', 'SENDGRID_API_KEY'],
};
const DATABASE_ROLES = ['auth', 'org', 'audit', 'worker', 'gateway', 'migrator'] as const;

/**
 * The secrets of a local platform, a file each, readable for their owner alone. Made once and then kept; tells whether
 * it made them now, so that what an older set had encrypted or hashed is lost.
 */
export function ensureSecrets(dir: string): boolean {
  const made = !existsSync(join(dir, 'JWT_SECRET'));
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!existsSync(join(dir, 'IDENTITY_PRIVATE_KEY')) || !existsSync(join(dir, 'IDENTITY_PUBLIC_KEYS'))) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    write(dir, 'IDENTITY_PRIVATE_KEY', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    write(dir, 'IDENTITY_PUBLIC_KEYS', publicKey.export({ type: 'spki', format: 'pem' }).toString());
  }
  const names = ['JWT_SECRET', 'PASSWORD_PEPPER', 'MAIL_KEY', 'REDIS_PASSWORD', ...DATABASE_ROLES.map(passwordOf)];
  for (const name of names) if (!existsSync(join(dir, name))) write(dir, name, randomBytes(36).toString('base64url'));
  return made;
}

export function readSecret(dir: string, name: string): string {
  return readFileSync(join(dir, name), 'utf8').trim();
}

/** Passwords of the database's roles, by the name of the process or `migrator`. */
export function databasePasswords(dir: string): Record<(typeof DATABASE_ROLES)[number], string> {
  const entries = DATABASE_ROLES.map((role) => [role, readSecret(dir, passwordOf(role))]);
  return Object.fromEntries(entries) as Record<(typeof DATABASE_ROLES)[number], string>;
}

/** `NAME_FILE` for each secret of the process, and what the environment gives by itself. */
export function secretVariables(dir: string, process: ProcessName, env: NodeJS.ProcessEnv): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const name of [passwordOf(process), 'REDIS_PASSWORD', ...HOLDERS[process]])
    variables[`${name}_FILE`] = join(dir, name);
  for (const name of ['SENTRY_DSN', ...(OPTIONAL[process] ?? [])])
    for (const key of [name, `${name}_FILE`]) if (env[key]) variables[key] = env[key];
  return variables;
}

function passwordOf(role: string): string {
  return `${role.toUpperCase()}_DATABASE_PASSWORD`;
}

function write(dir: string, name: string, value: string): void {
  writeFileSync(join(dir, name), value, { mode: 0o600 });
}
