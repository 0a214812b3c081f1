import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ConfigError, loadConfig } from '@gatehouse/kit/config';
import { publicKeys } from '@gatehouse/testkit/identities';
import { expect, test } from '@jest/globals';
import { Config } from './config.ts';

const settings = (environment: string, keysUrl: string) => ({
  ...parseEnv(readFileSync(new URL(`../../../.env.${environment}`, import.meta.url), 'utf8')),
  ORG_DATABASE_PASSWORD: 'q7Xn2Lp9Vb4Kc8Rt1Zm6Wy3Hs5Jd0GfAe',
  MAIL_KEY: 'm2Vb6Yt9Qw4Er7Ui1Op5As8Df3Gh0JkLz',
  REDIS_PASSWORD: 'u4Tn8Bq1Xw6Ze3Ry7Mk5',
  IDENTITY_PUBLIC_KEYS: publicKeys,
  SECRET_SCANNING_KEYS_URL: keysUrl,
});

test('the keys of leak reports come by https, but on a development machine; without an address there are none', () => {
  const url = (environment: string, keysUrl: string) =>
    loadConfig(Config, settings(environment, keysUrl)).SECRET_SCANNING_KEYS_URL;

  expect(url('production', 'https://api.github.com/meta/public_keys/secret_scanning')).toMatch(/^https:/);
  expect(url('development', 'http://127.0.0.1:4099/keys')).toBe('http://127.0.0.1:4099/keys');
  for (const environment of ['production', 'staging', 'development']) expect(url(environment, '')).toBeUndefined();
  for (const environment of ['production', 'staging'])
    expect(() => url(environment, 'http://api.github.com/keys')).toThrow(ConfigError);
  for (const odd of ['file:///etc/passwd', 'api.github.com', 'ftp://x'])
    expect(() => url('development', odd)).toThrow(ConfigError);
});
