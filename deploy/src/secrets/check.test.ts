import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, secret } from '@gatehouse/kit/config';
import { afterAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { placesOf } from '../places.ts';
import { loadSettings } from '../settings.ts';
import { ownerOf, SECRETS } from './catalogue.ts';
import { mistakesInDerived, mistakesInFiles, secretsInSettings, sharedSecrets } from './check.ts';
import { redisUsers } from './redis-acl.ts';
import { weaknessOf } from './rules.ts';
import type { StoredFile } from './vault.ts';

const ROOT = join(import.meta.dirname, '../../..');
const state = mkdtempSync(join(tmpdir(), 'gatehouse-check-'));
const places = placesOf(state);
afterAll(() => rmSync(state, { recursive: true }));

function sample(): StoredFile[] {
  return SECRETS.flatMap(({ name, holders, kind }) => {
    const content = Buffer.from(kind === 'optional' ? '' : randomBytes(36).toString('base64url'));
    return holders.map((holder) => ({ path: `${holder}/${name}`, uid: ownerOf(holder), mode: 0o400, content }));
  });
}

function changed(path: string, change: Partial<StoredFile>, files = sample()): StoredFile[] {
  return files.map((file) => (file.path === path ? { ...file, ...change } : file));
}

describe('the check of secrets', () => {
  test('F42 finds nothing wrong with what was made at random, optional ones empty', () => {
    expect(mistakesInFiles(sample())).toEqual([]);
  });

  test('F42 names a secret that is missing, empty, or of the wrong owner or mode', () => {
    const without = sample().filter(({ path }) => path !== 'app/JWT_SECRET');
    expect(mistakesInFiles(without)).toEqual(['app/JWT_SECRET: is missing; make secrets makes it']);
    expect(mistakesInFiles(changed('app/MAIL_KEY', { content: Buffer.alloc(0) }))).toEqual(['MAIL_KEY: is empty']);
    expect(mistakesInFiles(changed('postgres/TLS_KEY', { uid: 0 }))).toEqual([
      'postgres/TLS_KEY: belongs to 0 and must belong to 999',
    ]);
    expect(mistakesInFiles(changed('app/SMTP_PASSWORD', { mode: 0o444 }))).toEqual([
      'app/SMTP_PASSWORD: has mode 0444 and must have 0400',
    ]);
  });

  test.each([
    ['changeme-changeme-changeme-changeme-1234', 'is an example value'],
    ['0123456789abcdef', 'has fewer than 32 bytes'],
    ['abababababababababababababababababababab', 'is too simple'],
  ])('F42 refuses a weak value and does not repeat it: %s', (value, reason) => {
    const mistakes = mistakesInFiles(changed('app/JWT_SECRET', { content: Buffer.from(value) }));

    expect(mistakes).toEqual([`JWT_SECRET: ${reason}`]);
    expect(mistakes.join()).not.toContain(value);
    // A process would refuse it as well: the rules are the same.
    expect(() => loadConfig(z.object({ JWT_SECRET: secret() }), { JWT_SECRET: value })).toThrow('JWT_SECRET');
  });

  test('F42 takes what the processes take', () => {
    const value = randomBytes(24).toString('base64url');
    expect(weaknessOf(value)).toBeUndefined();
    expect(loadConfig(z.object({ A: secret() }), { A: value })).toEqual({ A: value });
  });

  test('F42 refuses one value for two purposes, and two values for one', () => {
    const files = sample();
    const pepper = files.find(({ path }) => path === 'app/PASSWORD_PEPPER')?.content as Buffer;
    expect(mistakesInFiles(changed('app/MAIL_KEY', { content: pepper }, files))).toEqual([
      'MAIL_KEY: is the same as PASSWORD_PEPPER; each purpose needs its own',
    ]);
    const other = randomBytes(36).toString('base64url');
    expect(mistakesInFiles(changed('app/POSTGRES_PASSWORD', { content: Buffer.from(other) }, files))).toEqual([
      'POSTGRES_PASSWORD: differs between app and postgres',
    ]);
  });

  test('F42 refuses a secret of another environment on the same host', () => {
    const staging = sample();
    const jwt = staging.find(({ path }) => path === 'app/JWT_SECRET')?.content as Buffer;

    // Under another name too: what matters is who knows the value.
    expect(sharedSecrets(changed('app/MAIL_KEY', { content: jwt }), staging, 'staging')).toEqual([
      'MAIL_KEY: staging on this host has the same; each environment needs its own',
    ]);
    expect(sharedSecrets(sample(), staging, 'staging')).toEqual([]);
  });

  test('says which of two no longer fits the other', () => {
    const files = sample();
    const text = (path: string) => files.find((file) => file.path === path)?.content.toString() ?? '';
    const acl = redisUsers(text('app/REDIS_PASSWORD'), text('monitoring/REDIS_MONITOR_PASSWORD'));
    const fitting = changed('redis/users.acl', { content: Buffer.from(acl) }, files);
    const about = (given: StoredFile[]) => mistakesInDerived(given).filter((line) => line.startsWith('redis'));

    expect(about(fitting)).toEqual([]);
    expect(about(changed('app/REDIS_PASSWORD', { content: Buffer.from('another') }, fitting))).toEqual([
      'redis/users.acl: does not know the password in app/REDIS_PASSWORD; remove the file and make secrets',
    ]);
    expect(acl).not.toContain(text('app/REDIS_PASSWORD'));
  });

  test.each(['development', 'staging', 'production'] as const)('F42 .env.%s holds nothing secret', (environment) => {
    expect(secretsInSettings(loadSettings(ROOT, environment, places), places)).toEqual([]);
  });

  test('F42 finds a secret among the settings by its name or its form, and does not repeat it', () => {
    writeFileSync(places.overrides, 'SMTP_PASSWORD=hunter2-hunter2\n');
    const settings = {
      JWT_SECRET: 'hunter2-hunter2',
      STRIPE_API_KEY: 'hunter2-hunter2',
      REDIS_URL: 'redis://default:hunter2-hunter2@redis:6379',
      PASSWORD_MIN_LENGTH: '12',
      ACCESS_TOKEN_TTL_SECONDS: '900',
    };
    const mistakes = secretsInSettings(settings, places);

    expect(mistakes.map((mistake) => mistake.split(':')[0])).toEqual([
      'JWT_SECRET',
      'STRIPE_API_KEY',
      'REDIS_URL',
      'SMTP_PASSWORD',
    ]);
    expect(mistakes.join()).not.toContain('hunter2');
  });
});
