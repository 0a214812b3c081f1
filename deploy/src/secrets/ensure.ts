import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { prepareFolders } from '../backup/folders.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import type { Places } from '../places.ts';
import { type Holder, ownerOf, SECRETS } from './catalogue.ts';
import { isFresh, isIssuedBy, makeAuthority, makeServerCertificate } from './certificates.ts';
import { type Missing, stillMissing } from './missing.ts';
import { redisUsers } from './redis-acl.ts';
import { ensureRecoveryKey, sealSecrets } from './sealing.ts';
import { ensureSite } from './site.ts';
import { readFolder, type StoredFile, writeFiles } from './vault.ts';

export interface SecretsReport {
  /** Names, never values: `app/JWT_SECRET`. */
  made: string[];
  /** What the deployer must still supply, and where. */
  missing: Missing[];
  /** The sealed copy, when one was written or is up to date. */
  sealed: string;
}

export interface EnsureOptions {
  /** Makes also what stored data depends on, although a release is live: that data is then lost. */
  acceptLoss?: boolean;
  /** Makes a certificate that no browser trusts when there is none. By default not in production. */
  selfSigned?: boolean;
  /** Shows the private half of the recovery key, which is kept nowhere. */
  announce?: (recoveryKey: string) => void;
  /** Where `SMTP_PASSWORD_FILE` and the like name files of the deployer. */
  env?: NodeJS.ProcessEnv;
}

/** The secrets of an environment while they are completed. Nothing that is there is changed, but for what ran out. */
interface Shelf {
  have: Map<string, Buffer>;
  put(holder: Holder, name: string, content: string | Buffer): void;
  /** The content by any of its holders. */
  find(name: string): Buffer | undefined;
}

/** Makes every secret that is missing, and seals a copy when something was made. */
export async function ensureSecrets(context: Context, options: EnsureOptions = {}): Promise<SecretsReport> {
  const { places, environment } = context;
  // Numbers that containers run as may be people on the host: nobody but the deployer gets past this folder. Containers
  // are given what lies below it by the engine.
  mkdirSync(places.state, { recursive: true, mode: 0o700 });
  chmodSync(places.state, 0o700);
  mkdirSync(places.secrets, { recursive: true, mode: 0o700 });
  const made = new Map<string, StoredFile>();
  const shelf = openShelf(readFolder(places.secrets), made);
  refuseLoss(places, shelf, options.acceptLoss ?? false);
  putPasswords(shelf, options.env ?? process.env);
  putIdentity(shelf);
  putRedisUsers(shelf);
  putInternalCertificates(shelf, places.secrets, environment);
  writeFiles(places.secrets, [...made.values()]);
  const site = ensureSite(context, options.selfSigned ?? environment !== 'production');
  const recovery = ensureRecoveryKey(places, options.announce);
  const sealed = await sealSecrets(context);
  prepareFolders(places);
  return { made: [...made.keys(), ...site, ...recovery], missing: stillMissing(context, shelf.find), sealed };
}

function openShelf(files: readonly StoredFile[], made: Map<string, StoredFile>): Shelf {
  const have = new Map(files.map(({ path, content }) => [path, content]));
  return {
    have,
    put(holder, name, given) {
      const path = `${holder}/${name}`;
      const content = Buffer.from(given);
      have.set(path, content);
      made.set(path, { path, content, uid: ownerOf(holder), mode: 0o400 });
    },
    find(name) {
      const holders = SECRETS.find((secret) => secret.name === name)?.holders ?? [];
      return holders.map((holder) => have.get(`${holder}/${name}`)).find((content) => content !== undefined);
    },
  };
}

/** Another pepper makes every password wrong: what a live platform depends on is restored, never made anew. */
function refuseLoss(places: Places, shelf: Shelf, acceptLoss: boolean): void {
  if (acceptLoss || !existsSync(places.live)) return;
  const lost = SECRETS.filter(({ name, bound }) => bound && !shelf.find(name)).map(({ name }) => name);
  if (lost.length === 0) return;
  throw new Failure(EXIT.secrets, `A release is live, and what its data depends on is gone: ${lost.join(', ')}`, [
    `Restore them: move ${places.secrets} aside, then`,
    `make restore-secrets ENV=… FROM=<newest of ${places.backups}/secrets>`,
    'FORCE=1 makes new ones; what the old ones sealed, hashed or let in is lost then.',
  ]);
}

function putPasswords(shelf: Shelf, env: NodeJS.ProcessEnv): void {
  for (const { name, holders, kind } of SECRETS) {
    if (kind === 'derived') continue;
    const supplied = kind === 'optional' ? env[`${name}_FILE`] : undefined;
    if (supplied && !shelf.find(name)?.length)
      for (const holder of holders) shelf.put(holder, name, readFileSync(supplied, 'utf8').trim());
    const value = shelf.find(name) ?? (kind === 'optional' ? '' : randomBytes(36).toString('base64url'));
    for (const holder of holders) if (!shelf.have.has(`${holder}/${name}`)) shelf.put(holder, name, value);
  }
}

function putIdentity(shelf: Shelf): void {
  const publicKeys = shelf.find('IDENTITY_PUBLIC_KEYS')?.toString() ?? '';
  const given = shelf.find('IDENTITY_PRIVATE_KEY');
  if (given && publicKeys) return;
  const privateKey = given ? createPrivateKey(given) : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  if (!given) shelf.put('app', 'IDENTITY_PRIVATE_KEY', privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
  // Public keys that are there stay: a gateway elsewhere may sign with the other half.
  shelf.put('app', 'IDENTITY_PUBLIC_KEYS', publicKeys + publicKey);
}

function putRedisUsers(shelf: Shelf): void {
  const password = shelf.find('REDIS_PASSWORD')?.toString().trim() ?? '';
  const monitor = shelf.find('REDIS_MONITOR_PASSWORD')?.toString().trim() ?? '';
  if (!shelf.find('users.acl')) shelf.put('redis', 'users.acl', redisUsers(password, monitor));
  // redis_exporter looks passwords up by the address, with the user's name in it.
  if (!shelf.find('REDIS_EXPORTER_PASSWORDS'))
    shelf.put(
      'monitoring',
      'REDIS_EXPORTER_PASSWORDS',
      `${JSON.stringify({ 'redis://monitor@redis:6379': monitor })}\n`,
    );
}

function putInternalCertificates(shelf: Shelf, dir: string, environment: string): void {
  const { have } = shelf;
  const known = have.get('authority/INTERNAL_CA');
  const key = have.get('authority/CA_KEY');
  const fresh = key !== undefined && isFresh(known);
  const authority = fresh && known ? { key, certificate: known } : makeAuthority(dir, environment);
  if (!fresh) {
    shelf.put('authority', 'CA_KEY', authority.key);
    shelf.put('authority', 'INTERNAL_CA', authority.certificate);
  }
  // The authority of before stays trusted until Postgres has started with the new one's certificate.
  for (const holder of ['app', 'monitoring'] as const) {
    const trusted = have.get(`${holder}/INTERNAL_CA`) ?? Buffer.alloc(0);
    if (!trusted.includes(authority.certificate))
      shelf.put(holder, 'INTERNAL_CA', Buffer.concat([authority.certificate, trusted]));
  }
  const certificate = have.get('postgres/TLS_CERTIFICATE');
  const usable = certificate && isFresh(certificate) && isIssuedBy(certificate, authority.certificate);
  if (usable && have.has('postgres/TLS_KEY')) return;
  const server = makeServerCertificate(dir, ['postgres', 'localhost'], authority);
  shelf.put('postgres', 'TLS_KEY', server.key);
  shelf.put('postgres', 'TLS_CERTIFICATE', server.certificate);
}
