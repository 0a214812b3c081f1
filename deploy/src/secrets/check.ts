import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseEnv } from 'node:util';
import type { Context, Settings } from '../context.ts';
import { ENVIRONMENTS, type Places, placesOf } from '../places.ts';
import { type Holder, isSecretKey, ownerOf, SECRETS } from './catalogue.ts';
import { isFresh, isIssuedBy } from './certificates.ts';
import { knowsPassword } from './redis-acl.ts';
import { carriesSecret, weaknessOf } from './rules.ts';
import { siteMistakes } from './site.ts';
import { readFolder, type StoredFile } from './vault.ts';

/** Everything that is wrong with the secrets of an environment, a line each, which never repeats a value. */
export function checkSecrets({ places, settings }: Context): string[] {
  const files = readFolder(places.secrets);
  if (files.length === 0) return [`${places.secrets}: holds no secrets; make secrets makes them`];
  return [
    ...mistakesInFiles(files),
    ...mistakesInDerived(files),
    ...sharedWithOthers(files, places),
    ...siteMistakes(places),
    ...secretsInSettings(settings, places),
  ];
}

/** Presence, owner, mode, strength, and that no two purposes share a value. */
export function mistakesInFiles(files: readonly StoredFile[]): string[] {
  const mistakes: string[] = [];
  const purposes = new Map<string, string>();
  for (const { name, holders, kind, strong } of SECRETS) {
    const copies = holders.map((holder) => [holder, files.find(({ path }) => path === `${holder}/${name}`)] as const);
    for (const [holder, file] of copies) mistakes.push(...mistakesOfFile(`${holder}/${name}`, holder, file));
    const values = copies.flatMap(([, file]) => (file ? [textOf(file)] : []));
    const [value = ''] = values;
    if (kind === 'derived') continue;
    if (new Set(values).size > 1) mistakes.push(`${name}: differs between ${holders.join(' and ')}`);
    if (!value) {
      if (kind === 'random' && values.length > 0) mistakes.push(`${name}: is empty`);
      continue;
    }
    const weakness = kind === 'random' || strong ? weaknessOf(value) : undefined;
    if (weakness) mistakes.push(`${name}: ${weakness}`);
    const other = purposes.get(value);
    // Alerts and deploys may be told in the same chat.
    if (other && !(name.endsWith('_WEBHOOK_URL') && other.endsWith('_WEBHOOK_URL')))
      mistakes.push(`${name}: is the same as ${other}; each purpose needs its own`);
    purposes.set(value, name);
  }
  return mistakes;
}

function mistakesOfFile(path: string, holder: Holder, file: StoredFile | undefined): string[] {
  // Nothing needs it, and a release that did not know of it yet made none.
  if (!file && holder === 'operator') return [];
  if (!file) return [`${path}: is missing; make secrets makes it`];
  const mistakes: string[] = [];
  const uid = ownerOf(holder);
  if (file.uid !== uid) mistakes.push(`${path}: belongs to ${file.uid} and must belong to ${uid}`);
  if (file.mode !== 0o400) mistakes.push(`${path}: has mode 0${file.mode.toString(8)} and must have 0400`);
  return mistakes;
}

/** What is made from other secrets must still fit them. */
export function mistakesInDerived(files: readonly StoredFile[]): string[] {
  const find = (path: string) => files.find((file) => file.path === path);
  const text = (path: string) => textOf(find(path));
  const mistakes: string[] = [];
  const acl = text('redis/users.acl');
  if (acl && !knowsPassword(acl, 'default', text('app/REDIS_PASSWORD')))
    mistakes.push(
      'redis/users.acl: does not know the password in app/REDIS_PASSWORD; remove the file and make secrets',
    );
  if (acl && !knowsPassword(acl, 'monitor', text('monitoring/REDIS_MONITOR_PASSWORD')))
    mistakes.push('redis/users.acl: does not know REDIS_MONITOR_PASSWORD; remove the file and make secrets');
  const [privateKey, publicKeys] = [text('app/IDENTITY_PRIVATE_KEY'), text('app/IDENTITY_PUBLIC_KEYS')];
  if (privateKey && publicKeys && !isPair(privateKey, publicKeys))
    mistakes.push('app/IDENTITY_PUBLIC_KEYS: has not the public half of app/IDENTITY_PRIVATE_KEY');
  const [certificate, authority] = [find('postgres/TLS_CERTIFICATE')?.content, find('app/INTERNAL_CA')?.content];
  if (certificate && !isFresh(certificate))
    mistakes.push('postgres/TLS_CERTIFICATE: ends within a month; make secrets renews it');
  if (certificate && authority && !isIssuedBy(certificate, authority))
    mistakes.push('postgres/TLS_CERTIFICATE: is not of the authority in app/INTERNAL_CA');
  return mistakes;
}

function isPair(privateKey: string, publicKeys: string): boolean {
  try {
    const own = createPublicKey(createPrivateKey(privateKey)).export({ type: 'spki', format: 'pem' }).toString();
    const plain = (pem: string) => pem.replaceAll(/\s/g, '');
    return plain(publicKeys).includes(plain(own));
  } catch {
    return false;
  }
}

/** A secret of staging that opens production too is known to everyone who runs staging. */
function sharedWithOthers(files: readonly StoredFile[], places: Places): string[] {
  const others = ENVIRONMENTS.map((name) => [name, placesOf(join(dirname(places.state), name))] as const).filter(
    ([, other]) => other.state !== places.state && isReadable(other.secrets),
  );
  return others.flatMap(([environment, other]) => sharedSecrets(files, readFolder(other.secrets), environment));
}

function isReadable(dir: string): boolean {
  try {
    return existsSync(dir);
  } catch {
    return false;
  }
}

export function sharedSecrets(
  files: readonly StoredFile[],
  others: readonly StoredFile[],
  environment: string,
): string[] {
  const random = new Set(SECRETS.filter(({ kind }) => kind === 'random').map(({ name }) => name));
  const isSecret = ({ path }: StoredFile) => random.has(nameOf(path)) || nameOf(path) === 'IDENTITY_PRIVATE_KEY';
  const theirs = new Set(others.filter(isSecret).map(textOf));
  const shared = files.filter((file) => isSecret(file) && textOf(file) !== '' && theirs.has(textOf(file)));
  return [...new Set(shared.map(({ path }) => nameOf(path)))].map(
    (name) => `${name}: ${environment} on this host has the same; each environment needs its own`,
  );
}

/** Settings are committed, shown and passed as variables: nothing secret may stand among them. */
export function secretsInSettings(settings: Settings, places: Places): string[] {
  const own = existsSync(places.overrides) ? parseEnv(readFileSync(places.overrides, 'utf8')) : {};
  return Object.entries({ ...settings, ...own }).flatMap(([key, value]) => {
    if (isSecretKey(key)) return [`${key}: is a secret and must not stand in a file of settings`];
    return carriesSecret(value ?? '') ? [`${key}: carries a password or a key, which is no setting`] : [];
  });
}

function textOf(file: StoredFile | undefined): string {
  return file?.content.toString().trim() ?? '';
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
