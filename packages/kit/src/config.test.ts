import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { type ConfigError, isSecret, list, loadConfig, port, secret, secretOutsideDevelopment } from './config.ts';

const Schema = z.object({ PORT: port(), JWT_SECRET: secret(), ORIGINS: list(), SMTP_PASSWORD: secret().optional() });
const good = 'mXq3vT0rB8kZyW5nJ1hD6sLfGcAeUi2o';

function mistakesOf(env: NodeJS.ProcessEnv): string[] {
  try {
    loadConfig(Schema, env);
    return [];
  } catch (error) {
    return (error as ConfigError).mistakes;
  }
}

function secretFile(value: string, mode: number): string {
  const file = join(mkdtempSync(join(tmpdir(), 'gatehouse-config-')), 'secret');
  writeFileSync(file, value);
  chmodSync(file, mode);
  return file;
}

describe('loadConfig', () => {
  test('reads every setting of the schema, and no other', () => {
    const config = loadConfig(Schema, { PORT: '4001', JWT_SECRET: good, ORIGINS: 'a, b', PATH: '/bin' });

    expect(config).toEqual({ PORT: 4001, JWT_SECRET: good, ORIGINS: ['a', 'b'] });
  });

  test('F42 lists every mistake at once and repeats no value', () => {
    const mistakes = mistakesOf({ PORT: 'eighty', JWT_SECRET: 'short-value', SMTP_PASSWORD: 'x' });

    expect(mistakes.map((mistake) => mistake.split(':')[0])).toEqual(
      expect.arrayContaining(['PORT', 'JWT_SECRET', 'SMTP_PASSWORD']),
    );
    expect(mistakes.join()).not.toContain('short-value');
  });

  test('F42 a secret has no default', () => {
    expect(mistakesOf({ PORT: '1' })).toEqual(['JWT_SECRET: is required']);
    expect(mistakesOf({ PORT: '1', JWT_SECRET: '' })).toEqual(['JWT_SECRET: is required']);
  });

  test.each([
    'change-me-change-me-change-me-change-me',
    'an-example-secret-for-the-readme-0001',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'secret1234567890secret1234567890secret',
  ])('F42 refuses the example value %s', (value) => {
    expect(mistakesOf({ PORT: '1', JWT_SECRET: value })).not.toEqual([]);
  });

  test('F42 what only development may do without is required elsewhere', () => {
    const Some = z.object({ ENVIRONMENT: z.string(), REDIS_PASSWORD: secretOutsideDevelopment() });

    expect(loadConfig(Some, { ENVIRONMENT: 'development' })).toEqual({ ENVIRONMENT: 'development' });
    for (const ENVIRONMENT of ['staging', 'production', undefined])
      expect(() => loadConfig(Some, { ENVIRONMENT })).toThrow(/REDIS_PASSWORD: is required outside development/);
  });

  test('reads NAME from the file that NAME_FILE names, without its last newline', () => {
    const config = loadConfig(Schema, { PORT: '1', JWT_SECRET_FILE: secretFile(`${good}\n`, 0o400) });

    expect(config.JWT_SECRET).toBe(good);
  });

  test('F42 takes an empty file for unset: an optional secret is left out, a required one is missed', () => {
    const path = secretFile('\n', 0o400);

    expect(loadConfig(z.object({ SENTRY_DSN: z.url().optional() }), { SENTRY_DSN_FILE: path })).toEqual({});
    expect(() => loadConfig(z.object({ JWT_SECRET: secret() }), { JWT_SECRET_FILE: path })).toThrow(
      'JWT_SECRET: is required',
    );
  });

  test('refuses a secret file that everyone may read', () => {
    expect(mistakesOf({ PORT: '1', JWT_SECRET_FILE: secretFile(good, 0o644) })).toEqual([
      'JWT_SECRET: the file that JWT_SECRET_FILE names is open to everyone; chmod it to 0400',
    ]);
  });

  test('refuses NAME beside NAME_FILE, and a file that is not there', () => {
    expect(mistakesOf({ PORT: '1', JWT_SECRET: good, JWT_SECRET_FILE: secretFile(good, 0o400) })[0]).toMatch(/both/);
    expect(mistakesOf({ PORT: '1', JWT_SECRET_FILE: '/nowhere' })).toContain(
      'JWT_SECRET: JWT_SECRET_FILE cannot be read (ENOENT)',
    );
  });
});

test('isSecret sees through optional', () => {
  expect(isSecret(Schema.shape.SMTP_PASSWORD)).toBe(true);
  expect(isSecret(Schema.shape.PORT)).toBe(false);
});
