import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { loadConfig } from '@gatehouse/kit/config';
import { expect, test } from '@jest/globals';
import { Config } from './config.ts';

const random = () => crypto.randomUUID() + crypto.randomUUID();
const production = {
  ...(parseEnv(readFileSync(join(import.meta.dirname, '../../../.env.production'), 'utf8')) as Record<string, string>),
  IDENTITY_PUBLIC_KEYS: '-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----',
  REDIS_PASSWORD: random(),
  WORKER_DATABASE_PASSWORD: random(),
  MAIL_KEY: random(),
};
const load = (settings: Record<string, string>) => () => loadConfig(Config, { ...production, ...settings });

test('mails go by SMTP or by SendGrid, and by nothing else', () => {
  expect(load({})()).toMatchObject({ MAIL_TRANSPORT: 'smtp' });
  expect(load({ MAIL_TRANSPORT: 'sendgrid', SENDGRID_API_KEY: random() })()).toMatchObject({
    SENDGRID_API_URL: 'https://api.sendgrid.com',
  });
  expect(load({ MAIL_TRANSPORT: 'pigeon' })).toThrow('MAIL_TRANSPORT');
});

test('SendGrid needs its key, and outside development an address that encrypts it', () => {
  expect(load({ MAIL_TRANSPORT: 'sendgrid' })).toThrow('SENDGRID_API_KEY: is required');
  const chosen = { MAIL_TRANSPORT: 'sendgrid', SENDGRID_API_KEY: random(), SENDGRID_API_URL: 'http://127.0.0.1:1' };
  expect(load(chosen)).toThrow('SENDGRID_API_URL: must begin with https');
  expect(load({ ...chosen, ENVIRONMENT: 'development' })).not.toThrow();
});
