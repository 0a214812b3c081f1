import { randomBytes } from 'node:crypto';
import { API_KEY_ENVIRONMENTS, apiKeyChecksum } from '@gatehouse/contracts/api-keys';
import { base62, sha256 } from '@gatehouse/kit/crypto';

// Enough to tell keys apart in a list, far too little to guess the rest: 24 of 256 bits.
const SHOWN_CHARACTERS = 4;

export interface NewKey {
  key: string;
  prefix: string;
  hash: Buffer;
}

/** A new API key: 256 random bits and a checksum, by which scanners and the gateway know a key from a typo. */
export function newKey(environment: keyof typeof API_KEY_ENVIRONMENTS): NewKey {
  const start = `ezak_${API_KEY_ENVIRONMENTS[environment]}_`;
  const body = `${start}${base62(randomBytes(32))}`;
  const key = `${body}${apiKeyChecksum(body)}`;
  return { key, prefix: key.slice(0, start.length + SHOWN_CHARACTERS), hash: sha256(key) };
}
