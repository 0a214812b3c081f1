import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { generate } from 'selfsigned';

export interface Certificates {
  /** Path of the authority's certificate: what a client has to trust. */
  ca: string;
  certificate: string;
  key: string;
}

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
// Apple's systems refuse server certificates that live longer than 825 days.
const SERVER_DAYS = 397;
const RENEW_DAYS = 30;

/** A local authority and a certificate for `names`, made once and renewed before they end. */
export async function ensureCertificates(dir: string, names: readonly string[]): Promise<Certificates> {
  const paths = { ca: join(dir, 'ca.pem'), certificate: join(dir, 'server.pem'), key: join(dir, 'server-key.pem') };
  const caKeyPath = join(dir, 'ca-key.pem');
  if (usable(paths, names)) return paths;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!fresh(paths.ca) || !existsSync(caKeyPath)) {
    const made = await generate([{ name: 'commonName', value: 'Gatehouse local development authority' }], {
      ...validFor(CA_DAYS),
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    });
    writeFileSync(caKeyPath, made.private, { mode: 0o600 });
    writeFileSync(paths.ca, made.cert);
  }
  const server = await generate([{ name: 'commonName', value: names[0] ?? 'localhost' }], {
    ...validFor(SERVER_DAYS),
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: readFileSync(caKeyPath, 'utf8'), cert: readFileSync(paths.ca, 'utf8') },
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: names.map(altName) },
    ],
  });
  writeFileSync(paths.key, server.private, { mode: 0o600 });
  writeFileSync(paths.certificate, server.cert);
  return paths;
}

function validFor(days: number): { notBeforeDate: Date; notAfterDate: Date } {
  // An hour back, for clients whose clock is a little slow.
  const start = Date.now() - 3_600_000;
  return { notBeforeDate: new Date(start), notAfterDate: new Date(start + days * DAY_MS) };
}

function altName(name: string): { type: 2; value: string } | { type: 7; ip: string } {
  return isIP(name) ? { type: 7, ip: name } : { type: 2, value: name };
}

function fresh(path: string): boolean {
  if (!existsSync(path)) return false;
  return new X509Certificate(readFileSync(path)).validToDate.getTime() > Date.now() + RENEW_DAYS * DAY_MS;
}

function usable({ ca, certificate, key }: Certificates, names: readonly string[]): boolean {
  if (!fresh(ca) || !fresh(certificate) || !existsSync(key)) return false;
  const server = new X509Certificate(readFileSync(certificate));
  if (!server.checkIssued(new X509Certificate(readFileSync(ca)))) return false;
  return names.every((name) => (isIP(name) ? server.checkIP(name) : server.checkHost(name.replace('*', 'any'))));
}
