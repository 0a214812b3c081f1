import { crc32 } from 'node:zlib';

/** What an API key may reach, ever. Each scope opens one of these path prefixes. */
export const API_KEY_PATHS = {
  proxy: '/api/proxy/',
  standalone: '/api/standalone/',
  telemetry: '/api/telemetry/',
} as const;

export type ApiKeyScope = keyof typeof API_KEY_PATHS;
export const API_KEY_SCOPES = Object.keys(API_KEY_PATHS) as ApiKeyScope[];

/** The short name of an environment inside a key, so that nobody uses a staging key in production unnoticed. */
export const API_KEY_ENVIRONMENTS = { development: 'dev', staging: 'stg', production: 'prod' } as const;

const FORM = /^ezak_(dev|stg|prod)_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$/;
const CHECKSUM_WIDTH = 6;
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** The last six characters of a key: CRC-32 (zlib's) of all before them, in base 62. */
export function apiKeyChecksum(text: string): string {
  let rest = crc32(text);
  let checksum = '';
  for (let i = 0; i < CHECKSUM_WIDTH; i++) {
    checksum = ALPHABET.charAt(rest % 62) + checksum;
    rest = Math.floor(rest / 62);
  }
  return checksum;
}

/** Whether a credential looks like an API key at all; what does may still be malformed. */
export function resemblesApiKey(text: string): boolean {
  return text.startsWith('ezak_');
}

/** Whether a text can be a key that was issued: form and checksum. Guesses and typos are refused without a query. */
export function isWellFormedApiKey(text: string): boolean {
  return FORM.test(text) && apiKeyChecksum(text.slice(0, -CHECKSUM_WIDTH)) === text.slice(-CHECKSUM_WIDTH);
}
