/** Who reads a folder of secrets: the numeric users that the containers run as, which no name on the host stands for. */
export const HOLDERS = {
  app: 10001,
  postgres: 999,
  redis: 999,
  monitoring: 65534,
  grafana: 472,
  /** The internal authority's key: no container sees it. */
  authority: 0,
  /** What the deployer itself uses: no container sees it. */
  operator: 0,
} as const;
export type Holder = keyof typeof HOLDERS;

/** nginx, which reads the certificate's key in `tls/`. */
export const NGINX_UID = 101;

/** What only the deployer reads: the folder belongs to whoever deploys. */
export const isDeployers = (holder: Holder): boolean => holder === 'authority' || holder === 'operator';

export function ownerOf(holder: Holder): number {
  return isDeployers(holder) ? (process.getuid?.() ?? 0) : HOLDERS[holder];
}

export interface SecretSpec {
  name: string;
  holders: readonly Holder[];
  /**
   * random: made by us, and no other secret may be the same; optional: the deployer's, an empty file until then;
   * derived: made from others or by openssl.
   */
  kind: 'random' | 'optional' | 'derived';
  /** What is stored depends on it: with another one it is lost, or the database lets nobody in. */
  bound?: true;
  /** Of an optional one: chosen by nobody, so that the rules for random ones hold for it too. */
  strong?: true;
}

const ROLES = ['AUTH', 'ORG', 'AUDIT', 'WORKER', 'GATEWAY', 'MIGRATOR'];
const app = ['app'] as const;

export const SECRETS: readonly SecretSpec[] = [
  ...ROLES.map((role): SecretSpec => ({ ...random(`${role}_DATABASE_PASSWORD`, app), bound: true })),
  { ...random('POSTGRES_PASSWORD', ['app', 'postgres']), bound: true },
  { ...random('MONITOR_DATABASE_PASSWORD', ['postgres', 'monitoring']), bound: true },
  { ...random('JWT_SECRET', app), bound: true },
  { ...random('PASSWORD_PEPPER', app), bound: true },
  { ...random('MAIL_KEY', app), bound: true },
  { ...random('BACKUP_CIPHER', ['postgres']), bound: true },
  random('REDIS_PASSWORD', app),
  random('REDIS_MONITOR_PASSWORD', ['redis', 'monitoring']),
  random('BOOTSTRAP_SECRET', app),
  random('SYNTHETIC_PASSWORD', app),
  random('GRAFANA_ADMIN_PASSWORD', ['grafana']),
  { name: 'SMTP_PASSWORD', holders: app, kind: 'optional' },
  { name: 'SENDGRID_API_KEY', holders: app, kind: 'optional', strong: true },
  { name: 'SENTRY_DSN', holders: app, kind: 'optional' },
  // Where alerts are told: a chat's or a pager's webhook, whose address is its password.
  { name: 'ALERT_WEBHOOK_URL', holders: ['monitoring'], kind: 'optional' },
  // Where deploys are told: another webhook or the same one, and Sentry.
  { name: 'DEPLOY_WEBHOOK_URL', holders: ['operator'], kind: 'optional' },
  { name: 'SENTRY_AUTH_TOKEN', holders: ['operator'], kind: 'optional', strong: true },
  // The second place of backups, where it is an object store.
  { name: 'BACKUP_S3_KEY', holders: ['postgres'], kind: 'optional' },
  { name: 'BACKUP_S3_KEY_SECRET', holders: ['postgres'], kind: 'optional' },
  // While a secret is replaced (docs/secrets.md).
  { name: 'JWT_SECRET_ALTERNATE', holders: app, kind: 'optional', strong: true },
  { name: 'MAIL_KEY_ALTERNATE', holders: app, kind: 'optional', strong: true },
  { name: 'IDENTITY_PRIVATE_KEY', holders: app, kind: 'derived' },
  { name: 'IDENTITY_PUBLIC_KEYS', holders: app, kind: 'derived' },
  { name: 'users.acl', holders: ['redis'], kind: 'derived' },
  { name: 'REDIS_EXPORTER_PASSWORDS', holders: ['monitoring'], kind: 'derived' },
  { name: 'CA_KEY', holders: ['authority'], kind: 'derived' },
  { name: 'INTERNAL_CA', holders: ['app', 'monitoring', 'authority'], kind: 'derived' },
  { name: 'TLS_CERTIFICATE', holders: ['postgres'], kind: 'derived' },
  { name: 'TLS_KEY', holders: ['postgres'], kind: 'derived' },
];

/** Settings that no file of settings may hold: the names above, and whatever else is named as a secret is. */
const SECRET_KEY =
  /(^|_)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|PEPPER|CIPHER|DSN|PRIVATE_KEY|API_KEY|ACCESS_KEY|KEY|CREDENTIALS?)(_ALTERNATE|_NEXT|_OLD)?$/;

export function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key) || SECRETS.some(({ name }) => name === key);
}

function random(name: string, holders: readonly Holder[]): SecretSpec {
  return { name, holders, kind: 'random' };
}
