import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { CERTIFICATE_KEY } from '../secrets/site.ts';
import { readOne } from '../secrets/vault.ts';
import { error, type Finding, warning } from './findings.ts';

const DAY_MS = 86_400_000;
const REFUSE_DAYS = 14;
const WARN_DAYS = 30;

/** Days that the certificate of clients is valid for; undefined when there is none that can be read. */
export function certificateDays(tls: string, now = Date.now()): number | undefined {
  const certificate = attempt(() => new X509Certificate(readFileSync(join(tls, 'fullchain.pem'))));
  return certificate && Math.floor((Date.parse(certificate.validTo) - now) / DAY_MS);
}

/** `serverName` is the setting: names by space, of which each must be in the certificate. */
export function judgeCertificate(tls: string, serverName: string, now = Date.now()): Finding[] {
  const [chain, key] = [join(tls, 'fullchain.pem'), join(tls, 'privkey.pem')];
  const missing = [chain, key].filter((path) => !existsSync(path));
  if (missing.length > 0)
    return [
      error(
        'certificate',
        `${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing`,
        'Put one there, or get one by ACME',
      ),
    ];
  const certificate = attempt(() => new X509Certificate(readFileSync(chain)));
  if (!certificate)
    return [error('certificate', `${chain} is no certificate in PEM`, 'The leaf comes first, then its chain')];
  const findings = judgeValidity(certificate, now);
  const privateKey = attempt(() => createPrivateKey(readOne(tls, CERTIFICATE_KEY)));
  if (!privateKey)
    findings.push(error('certificate', `${key} is no private key without a passphrase`, 'nginx has nobody to ask'));
  else if (!certificate.checkPrivateKey(privateKey))
    findings.push(error('certificate', `${key} does not belong to ${chain}`, 'Put both of the same order there'));
  const names = serverName.split(/[\s,]+/).filter(Boolean);
  const uncovered = names.filter((name) => !covers(certificate, name));
  if (uncovered.length > 0)
    findings.push(
      error('certificate', `it is not for ${uncovered.join(', ')}`, 'Get one for every name in SERVER_NAME'),
    );
  return findings;
}

function judgeValidity({ validFrom, validTo }: X509Certificate, now: number): Finding[] {
  const days = Math.floor((Date.parse(validTo) - now) / DAY_MS);
  const renew = 'Renew it, then make renew-certificate';
  if (Date.parse(validFrom) > now)
    return [error('certificate', `it is valid from ${validFrom}`, "Wait, or set the host's clock right")];
  if (days < 0) return [error('certificate', `it expired on ${validTo}`, renew)];
  if (days <= REFUSE_DAYS) return [error('certificate', `it expires in ${days} days`, renew)];
  return days < WARN_DAYS ? [warning('certificate', `it expires in ${days} days`, renew)] : [];
}

/** nginx also takes `*.example.com` and `.example.com` as names; a wildcard of the certificate must be the same one. */
function covers(certificate: X509Certificate, name: string): boolean {
  const plain = name.replace(/^\*?\./, 'any.');
  return (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(plain)) !== undefined;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
