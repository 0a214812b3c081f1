import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { CERTIFICATE, CERTIFICATE_KEY, ownSiteFiles, siteMistakes, siteNames } from '../secrets/site.ts';
import { readOne } from '../secrets/vault.ts';
import { publicAddress } from './public-listener.ts';
import { replaceEdge } from './switch.ts';

const TIMEOUT_MS = 5_000;

/** Has nginx serve the certificate that lies in `tls/`, once it is found to be one. */
export async function renewCertificate(context: Context): Promise<X509Certificate> {
  const { places, settings } = context;
  ownSiteFiles(places);
  const certificate = readCertificate(context);
  await replaceEdge(context, {});
  const { host, port, name } = publicAddress(settings);
  const served = await servedFingerprint(host, port, name);
  if (served === certificate.fingerprint256) return certificate;
  throw new Failure(EXIT.switch, 'nginx serves another certificate than the one that was installed', [
    `installed: ${certificate.fingerprint256}`,
    `served:    ${served}`,
  ]);
}

function readCertificate({ places, settings }: Context): X509Certificate {
  const chain = join(places.tls, CERTIFICATE);
  const mistakes = siteMistakes(places);
  let certificate: X509Certificate | undefined;
  try {
    certificate = new X509Certificate(readFileSync(chain));
    mistakes.push(...mistakesIn(certificate, readOne(places.tls, CERTIFICATE_KEY), siteNames(settings)));
  } catch (error) {
    mistakes.push((error as Error).message);
  }
  if (certificate && mistakes.length === 0) return certificate;
  throw new Failure(EXIT.preflight, `The certificate in ${places.tls} cannot be served; nothing was changed`, mistakes);
}

/** What is wrong with a certificate for these names, a line each. */
export function mistakesIn(certificate: X509Certificate, key: Buffer, names: readonly string[], now = new Date()) {
  const mistakes: string[] = [];
  if (!certificate.checkPrivateKey(createPrivateKey(key))) mistakes.push('privkey.pem is not the key of fullchain.pem');
  if (certificate.validFromDate > now) mistakes.push(`fullchain.pem is valid only from ${certificate.validFrom} on`);
  if (certificate.validToDate < now) mistakes.push(`fullchain.pem has expired on ${certificate.validTo}`);
  for (const name of names) {
    const isFor = /^[\d.]+$|:/.test(name) ? certificate.checkIP(name) : certificate.checkHost(name);
    if (isFor === undefined) mistakes.push(`fullchain.pem is not for ${name}`);
  }
  return mistakes;
}

function servedFingerprint(host: string, port: number, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // What is looked at is which one it is, not whether this host trusts it.
    const socket = connect({ host, port, servername, rejectUnauthorized: false, timeout: TIMEOUT_MS });
    socket.once('timeout', () => socket.destroy(new Error('the public address does not answer')));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
  });
}
