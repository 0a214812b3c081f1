import { createHmac } from 'node:crypto';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { provision, SERVICE_ROLES } from './provision.ts';
import { scramVerifier } from './scram.ts';

let database: TestDatabase;
let admin: pg.Client;

beforeEach(async () => {
  database = await testDatabase({ empty: true });
  admin = new pg.Client(database.connection('admin'));
  admin.on('error', () => undefined);
  await admin.connect();
});
afterEach(async () => {
  await admin.end();
  await database.close();
});

test('a verifier is that of RFC 7677', () => {
  const verifier = scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
  const [, , serverKey = ''] = /^SCRAM-SHA-256\$4096:\S+\$(\S+):(\S+)$/.exec(verifier) ?? [];
  const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const message = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=${nonce}`;
  expect(createHmac('sha256', Buffer.from(serverKey, 'base64')).update(message).digest('base64')).toBe(
    '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  );
});

test('no statement of it carries a password, and Postgres keeps what it was told', async () => {
  const { password = '' } = database.connection('auth');
  const passwords = Object.fromEntries(
    ['gatehouse_migrator', ...SERVICE_ROLES].map((role) => [role, password]),
  ) as Parameters<typeof provision>[1]['passwords'];
  const said: string[] = [];
  const listening = {
    query: (text: string, values?: unknown[]) => {
      said.push(text);
      return admin.query(text, values);
    },
  } as unknown as pg.Client;
  await provision(listening, { database: String(database.connection('admin').database), passwords });
  expect(said.filter((text) => text.includes('password'))).toHaveLength(1 + SERVICE_ROLES.length);
  expect(said.filter((text) => text.includes(String(password)))).toEqual([]);

  const { rows } = await admin.query(`select a.rolpassword from pg_authid a where a.rolname = 'gatehouse_auth'`);
  const stored = String(rows[0].rolpassword);
  const salt = Buffer.from(/^SCRAM-SHA-256\$4096:([^$]+)\$/.exec(stored)?.[1] ?? '', 'base64');
  expect(salt).toHaveLength(16);
  expect(stored).toBe(scramVerifier(String(password), salt));
});
