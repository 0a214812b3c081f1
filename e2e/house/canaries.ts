import { appendFileSync } from 'node:fs';
import type { Answer, Call } from '../client.ts';

const SECRETS = new Set([
  'access_token',
  'challenge_token',
  'current_password',
  'invitation_token',
  'key',
  'new_password',
  'otpauth_uri',
  'password',
  'recovery_codes',
  'refresh_token',
  'secret',
  'token',
]);
const LONG_ENOUGH = 12;

/** Writes down every password, token and key of an exchange: none of them may be found anywhere afterwards. */
export function noteCanaries(file: string, call: Call, answer: Answer<unknown>): void {
  const secrets = secretsOf(call, answer).filter((secret) => secret.length >= LONG_ENOUGH && !secret.includes('\n'));
  if (secrets.length > 0) appendFileSync(file, `${secrets.join('\n')}\n`);
}

/** What of an exchange nobody else may know. What was refused was not trusted, but must not be written down either. */
export function secretsOf(call: Call, answer: Answer<unknown>): string[] {
  // `__Host-name=value; attributes`, where one that is taken back has no value.
  const cookies = (answer.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]?.split('=')[1] ?? '');
  const found = [...secretsIn(call.body), ...secretsIn(answer.body), ...cookies, call.token ?? ''];
  return found.filter(Boolean);
}

/** Writes down a secret that no client of the tests has seen. */
export function noteCanary(file: string, secret: string): void {
  appendFileSync(file, `${secret}\n`);
}

function secretsIn(value: unknown, name = ''): string[] {
  if (typeof value === 'string') return SECRETS.has(name) ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => secretsIn(item, name));
  return Object.entries(value).flatMap(([key, item]) => secretsIn(item, key));
}
