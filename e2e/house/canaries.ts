import { appendFileSync } from 'node:fs';
import type { Answer, Call } from '../client.ts';

const SECRETS = new Set(['password', 'access_token', 'refresh_token', 'key', 'secret', 'token']);
const LONG_ENOUGH = 12;

/** Writes down every password, token and key of an exchange: none of them may be found anywhere afterwards. */
export function noteCanaries(file: string, call: Call, answer: Answer<unknown>): void {
  // What the platform refused it has not been trusted with, but it must not have written it down either.
  const found = [...secretsIn(call.body), ...secretsIn(answer.body), ...(call.token ? [call.token] : [])];
  const secrets = found.filter((secret) => secret.length >= LONG_ENOUGH && !secret.includes('\n'));
  if (secrets.length > 0) appendFileSync(file, `${secrets.join('\n')}\n`);
}

/** Writes down a secret that no client of the tests has seen. */
export function noteCanary(file: string, secret: string): void {
  appendFileSync(file, `${secret}\n`);
}

function secretsIn(value: unknown, name = ''): string[] {
  if (typeof value === 'string') return SECRETS.has(name) ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => secretsIn(item, key));
}
