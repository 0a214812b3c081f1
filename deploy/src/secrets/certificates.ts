import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { engine } from './vault.ts';

const DAY_MS = 86_400_000;
const RENEW_DAYS = 30;
const AUTHORITY_DAYS = 7300;
const SERVER_DAYS = 3650;
// Apple's systems refuse certificates of sites that live longer than 825 days, browsers those of 398.
const SITE_DAYS = 397;

export interface KeyAndCertificate {
  key: Buffer;
  certificate: Buffer;
}

/** Whether a certificate is one and stays valid for another month. */
export function isFresh(certificate: Buffer | undefined, now = Date.now()): boolean {
  const end = certificate && parse(certificate)?.validToDate.getTime();
  return end !== undefined && end > now + RENEW_DAYS * DAY_MS;
}

export function isIssuedBy(certificate: Buffer, authority: Buffer): boolean {
  const [one, other] = [parse(certificate), parse(authority)];
  return one !== undefined && other !== undefined && one.checkIssued(other) && one.verify(other.publicKey);
}

export function parse(certificate: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(certificate);
  } catch {
    return undefined;
  }
}

// Node cannot make certificates, and the host may lack openssl: all happens in the memory of a container, and comes
// back over its standard output.
const AUTHORITY = `cd /dev/shm
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$1" -keyout key -out certificate \\
  -subj "/CN=$2" -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>log || { cat log >&2; exit 1; }
cat key certificate`;

/** The authority that only our own containers trust. */
export function makeAuthority(dir: string, name: string): KeyAndCertificate {
  return split(engine(dir, AUTHORITY, [String(AUTHORITY_DAYS), `Gatehouse internal authority (${name})`]));
}

const SIGNED = `cd /dev/shm
cat >authority
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$1" -keyout key -out certificate \\
  -subj "/CN=$2" -CA authority -CAkey authority -addext basicConstraints=critical,CA:FALSE \\
  -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth -addext "subjectAltName=$3" 2>log || { cat log >&2; exit 1; }
cat key certificate`;

/** A server's certificate by the authority. */
export function makeServerCertificate(
  dir: string,
  names: readonly string[],
  authority: KeyAndCertificate,
): KeyAndCertificate {
  const input = `${authority.key}\n${authority.certificate}\n`;
  return split(engine(dir, SIGNED, [String(SERVER_DAYS), names[0] ?? '', alternatives(names)], input));
}

const SELF_SIGNED = `cd /dev/shm
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$1" -keyout key -out certificate \\
  -subj "/CN=$2" -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \\
  -addext extendedKeyUsage=serverAuth -addext "subjectAltName=$3" 2>log || { cat log >&2; exit 1; }
cat key certificate`;

/** A site's certificate that no browser trusts: for a first try. */
export function makeSelfSigned(dir: string, names: readonly string[]): KeyAndCertificate {
  return split(engine(dir, SELF_SIGNED, [String(SITE_DAYS), names[0] ?? '', alternatives(names)]));
}

function alternatives(names: readonly string[]): string {
  return names.map((name) => (isIP(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
}

function split(output: string): KeyAndCertificate {
  const [key = '', certificate = ''] = output.match(/-----BEGIN [A-Z ]+-----[\s\S]+?-----END [A-Z ]+-----\n/g) ?? [];
  return { key: Buffer.from(key), certificate: Buffer.from(certificate) };
}
