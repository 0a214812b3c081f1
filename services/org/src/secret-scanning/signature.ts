import { verify } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { ScanningKeys } from './keys.ts';

export type SignatureFault = 'unsigned' | 'unknown_key' | 'bad_signature';

const KEY_ID = /^[\x21-\x7e]{1,128}$/;
const BASE64 = /^[A-Za-z0-9+/]{8,200}={0,2}$/;

/**
 * Judges a partner's signature: ECDSA over P-256 with SHA-256 (DER, base64) of the body as it came, by the key that
 * the header names. Undefined when it is right.
 */
export async function judgeSignature(
  keys: ScanningKeys,
  headers: IncomingHttpHeaders,
  rawBody: Buffer,
): Promise<SignatureFault | undefined> {
  const id = headers['github-public-key-identifier'];
  const signature = headers['github-public-key-signature'];
  if (typeof id !== 'string' || typeof signature !== 'string' || !KEY_ID.test(id)) return 'unsigned';
  if (!BASE64.test(signature)) return 'bad_signature';
  const key = await keys.find(id);
  if (key === undefined) return 'unknown_key';
  return verify('sha256', rawBody, key, Buffer.from(signature, 'base64')) ? undefined : 'bad_signature';
}
