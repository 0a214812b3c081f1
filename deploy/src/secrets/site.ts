import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Context, Settings } from '../context.ts';
import type { Places } from '../places.ts';
import { NGINX_UID } from './catalogue.ts';
import { makeSelfSigned } from './certificates.ts';
import { ownFile, readFolder, type StoredFile, writeFiles } from './vault.ts';

export const CERTIFICATE = 'fullchain.pem';
export const CERTIFICATE_KEY = 'privkey.pem';

/**
 * Gives the site's certificate and key the owner that nginx reads them as, and makes a self-signed one when there is
 * none and one is wanted. A self-signed one of ours is renewed. Returns what was made.
 */
export function ensureSite(context: Context, selfSigned: boolean): string[] {
  const { places, settings, report } = context;
  // nginx enters the folder as another user; the key in it is its own alone.
  mkdirSync(places.tls, { recursive: true, mode: 0o755 });
  ownSiteFiles(places);
  const missing = !existsSync(join(places.tls, CERTIFICATE)) && !existsSync(join(places.tls, CERTIFICATE_KEY));
  if (!selfSigned || !(missing || isEndingSelfSigned(places))) return [];
  const { key, certificate } = makeSelfSigned(places.tls, siteNames(settings));
  const file = (path: string, content: Buffer, mode: number): StoredFile => ({ path, content, mode, uid: NGINX_UID });
  writeFiles(places.tls, [file(CERTIFICATE_KEY, key, 0o400), file(CERTIFICATE, certificate, 0o444)], 0o755);
  report.warn(`The site's certificate is SELF-SIGNED: no browser trusts it. Yours belongs in ${places.tls}.`);
  return [`tls/${CERTIFICATE_KEY}`, `tls/${CERTIFICATE}`];
}

/** Owner and modes of a certificate that the deployer, or an ACME client, has put in place. */
export function ownSiteFiles({ tls }: Places): void {
  if (process.getuid?.() === 0 && existsSync(tls)) chmodSync(tls, 0o755);
  for (const [name, mode] of [
    [CERTIFICATE, 0o444],
    [CERTIFICATE_KEY, 0o400],
  ] as const) {
    const stat = lstatSync(join(tls, name), { throwIfNoEntry: false });
    if (!stat?.isFile()) continue;
    if (stat.uid !== NGINX_UID || (stat.mode & 0o7777) !== mode) ownFile(tls, name, NGINX_UID, mode);
  }
}

/** Mistakes that keep nginx from reading its certificate; that it is there and valid is the preflight's to check. */
export function siteMistakes({ tls }: Places): string[] {
  return [CERTIFICATE, CERTIFICATE_KEY].flatMap((name) => {
    const path = join(tls, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    // The folder is mounted by itself: what a link points to is not in it.
    if (stat && !stat.isFile()) return [`${path}: is no ordinary file; copy the file itself there`];
    if (!stat || name === CERTIFICATE) return [];
    if (stat.uid === NGINX_UID && (stat.mode & 0o077) === 0) return [];
    return [`${path}: must belong to ${NGINX_UID} with mode 0400; make secrets sees to it`];
  });
}

/** The names that clients use: what the site's certificate must be for. */
export function siteNames(settings: Settings): string[] {
  const names = (settings['SERVER_NAME'] ?? '').split(/[\s,]+/).filter(Boolean);
  const url = settings['PUBLIC_URL'] ?? '';
  if (URL.canParse(url)) names.push(new URL(url).hostname.replace(/^\[|\]$/g, ''));
  return [...new Set(names)];
}

function isEndingSelfSigned({ tls }: Places): boolean {
  const file = readFolder(tls).find(({ path }) => path === CERTIFICATE);
  if (!file) return false;
  try {
    const certificate = new X509Certificate(file.content);
    const daysLeft = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
    return certificate.checkIssued(certificate) && daysLeft < 30;
  } catch {
    return false;
  }
}
