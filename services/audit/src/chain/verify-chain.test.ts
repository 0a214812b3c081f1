import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { publishMany, sealAll } from '../test-events.ts';
import { verifyChain } from './verify-chain.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
  await publishMany(db.pool('org'), 30);
  await sealAll(db.pool('audit'));
});
afterEach(() => db.close());

/** What only a superuser can do, with the triggers switched off. */
const tamper = (sql: string) =>
  db.pool('admin').pg.query(`set session_replication_role = replica; ${sql}; set session_replication_role = origin`);

const finding = async () => {
  const verification = await verifyChain(db.pool('audit'), 7);
  return verification.intact ? undefined : verification.finding;
};

test('an untouched log holds', async () => {
  expect(await verifyChain(db.pool('audit'), 7)).toMatchObject({ intact: true, records: 30 });
});

test.each([
  'address',
  'agent',
  'outcome',
  'target_id',
  'org_id',
  'data',
  'actor',
  'actor_id',
  'occurred_at',
  'sealed_at',
])('an edited %s is found at its sequence', async (column) => {
  const value: Record<string, string> = {
    org_id: `'00000000-0000-7000-8000-000000000009'`,
    data: `data || '{"status": 200}'`,
    actor: `actor || '{"role": "admin"}'`,
    occurred_at: `occurred_at - interval '1 millisecond'`,
    sealed_at: `sealed_at - interval '1 millisecond'`,
  };
  await tamper(`update audit.log set ${column} = ${value[column] ?? `'x'`} where seq = 12`);
  expect(await finding()).toEqual({ seq: 12, problem: 'edited' });
});

test('a record taken out is missing', async () => {
  await tamper('delete from audit.log where seq = 9');
  expect(await finding()).toEqual({ seq: 9, problem: 'missing' });
});

test('a cut tail is found, also when it is the whole log', async () => {
  await tamper('delete from audit.log where seq > 20');
  expect(await finding()).toEqual({ seq: 21, problem: 'cut' });
  await tamper('delete from audit.log');
  expect(await finding()).toEqual({ seq: 1, problem: 'cut' });
});

test('a swapped pair is named, with or without its hashes', async () => {
  await tamper(
    'update audit.log set seq = 1000 where seq = 5; update audit.log set seq = 5 where seq = 25; update audit.log set seq = 25 where seq = 1000',
  );
  expect(await finding()).toEqual({ seq: 5, problem: 'swapped', other: 25 });
  await tamper(
    'update audit.log a set hash = b.hash from audit.log b where a.seq in (5, 25) and b.seq in (5, 25) and a.seq <> b.seq',
  );
  expect(await finding()).toEqual({ seq: 5, problem: 'swapped', other: 25 });
});

test('a record after the head, and a head that was moved back, are found', async () => {
  await tamper('update audit.head set seq = 28');
  expect(await finding()).toEqual({ seq: 29, problem: 'beyond the head' });
  await tamper(`update audit.head set seq = 30, hash = decode(repeat('00', 32), 'hex')`);
  expect(await finding()).toEqual({ seq: 30, problem: 'head differs' });
});

test('make audit-verify exits 0 on a log that holds and 1, naming the sequence, on one that does not', async () => {
  const { host, port, database, password } = db.connection('audit');
  const env = {
    ...process.env,
    DATABASE_HOST: host,
    DATABASE_PORT: String(port),
    DATABASE_NAME: database,
    DATABASE_TLS: 'off',
    AUDIT_DATABASE_PASSWORD: password,
  };
  const cli = fileURLToPath(new URL('../verify.ts', import.meta.url));
  const verify = () => promisify(execFile)(process.execPath, [cli], { env });
  expect((await verify()).stdout).toMatch(/^audit log: 30 records, chain intact, head [0-9a-f]{64}\n$/);
  await tamper(`update audit.log set outcome = 'success' where seq = 3`);
  await expect(verify()).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('BROKEN at sequence 3: edited'),
  });
});
