import { type ConfigError, loadConfig } from '@gatehouse/kit/config';
import { expect, test } from '@jest/globals';
import { Config } from './config.ts';
import { SETTINGS } from './testing.ts';

const env = (over: Record<string, string | undefined> = {}) => ({
  ...Object.fromEntries(Object.entries(SETTINGS).map(([name, value]) => [name, String(value)])),
  DATABASE_TLS: 'off',
  AUTH_DATABASE_PASSWORD: 'd4Kq9vLx2mZr8Tn5Wb7Hc4Jd6Fg1Ps0A',
  ...over,
});

function mistakesOf(over: Record<string, string | undefined>): string[] {
  try {
    loadConfig(Config, env(over));
    return [];
  } catch (error) {
    return (error as ConfigError).mistakes;
  }
}

test('the settings of a development machine are enough', () => {
  expect(mistakesOf({})).toEqual([]);
});

test('S070 outside development BOOTSTRAP_SECRET is required and bcrypt costs 12 at least', () => {
  for (const ENVIRONMENT of ['staging', 'production'])
    expect(mistakesOf({ ENVIRONMENT })).toEqual([
      'REDIS_PASSWORD: is required outside development',
      'BOOTSTRAP_SECRET: is required outside development',
      'BCRYPT_COST: must be at least 12 outside development',
    ]);
});

test('F42 every missing, short or example secret is named at once, and none is repeated', () => {
  const mistakes = mistakesOf({
    ENVIRONMENT: 'production',
    JWT_SECRET: undefined,
    PASSWORD_PEPPER: 'short',
    MAIL_KEY: 'changeme-changeme-changeme-changeme',
  });
  expect(mistakes).toEqual(
    expect.arrayContaining([
      'JWT_SECRET: is required',
      'PASSWORD_PEPPER: must have at least 32 characters',
      expect.stringMatching(/^MAIL_KEY: is an example value/),
      'BOOTSTRAP_SECRET: is required outside development',
    ]),
  );
  expect(mistakes.join()).not.toContain('changeme-');
});
