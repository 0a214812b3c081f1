import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { migrate } from '@gatehouse/kit/migrate';
import { freePort } from '@gatehouse/testkit/process';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { house, query } from '../house/house.ts';
import { platformAdmin } from '../house/people.ts';
import { plain } from '../house/plain.ts';
import { until } from '../house/wait.ts';
import { NAMES, type Name, startBeside } from './beside.ts';
import { startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox', 'upstream'] });
  await platformAdmin();
}, 60_000);
afterAll(() => scene.close(), 60_000);

const PASSWORD = 'not-to-be-seen-in-any-line-7Qw2';
const another = (name: Name, changes: Record<string, string | undefined>) => startBeside(scene, name, changes);

async function endOf(name: Name, changes: Record<string, string | undefined>) {
  const { child, closed, output } = await another(name, changes);
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  const code = await closed;
  clearTimeout(timer);
  return { code, output: output() };
}

describe('F42: wrong settings end a process at once, with all mistakes named and none of the values', () => {
  test.each(NAMES)('%s without its password', async (name) => {
    const setting = `${name.toUpperCase()}_DATABASE_PASSWORD`;
    const { code, output } = await endOf(name, { [setting]: undefined });
    expect({ code, output }).toEqual({ code: 78, output: expect.stringContaining(`${setting}: is required`) });
  });

  test('auth with one secret missing, one short, one of an example and a setting of nonsense', async () => {
    const { code, output } = await endOf('auth', {
      JWT_SECRET: undefined,
      PASSWORD_PEPPER: PASSWORD.slice(0, 12),
      MAIL_KEY: 'change-me-change-me-change-me-change-me-1',
      BCRYPT_COST: 'high',
    });
    expect(code).toBe(78);
    expect(output).toMatch(/JWT_SECRET: is required/);
    expect(output).toMatch(/PASSWORD_PEPPER: must have at least 32 characters/);
    expect(output).toMatch(/MAIL_KEY: is an example value/);
    expect(output).toMatch(/BCRYPT_COST: /);
    expect(output).not.toContain(PASSWORD.slice(0, 12));
    expect(output).not.toContain('change-me');
  });

  test.each(['org', 'audit', 'worker'] as const)('%s with keys that are none', async (name) => {
    const { code, output } = await endOf(name, { IDENTITY_PUBLIC_KEYS: PASSWORD });
    expect({ code, output }).toEqual({ code: 78, output: expect.stringContaining('IDENTITY_PUBLIC_KEYS: ') });
    expect(output).not.toContain(PASSWORD);
  });

  test('the gateway without its key and with an upstream that has no address', async () => {
    const { code, output } = await endOf('gateway', { IDENTITY_PRIVATE_KEY: undefined, UPSTREAMS: 'example' });
    expect(code).toBe(78);
    expect(output).toMatch(/IDENTITY_PRIVATE_KEY: is required/);
    expect(output).toMatch(/UPSTREAMS: must be name=url/);
  });

  const SHORT = PASSWORD.slice(0, 5);
  test.each([
    ['auth', 'JWT_SECRET', SHORT, 'must have at least'],
    ['auth', 'REDIS_PASSWORD', SHORT, 'must have at least'],
    ['org', 'REDIS_PASSWORD', SHORT, 'must have at least'],
    ['audit', 'REDIS_PASSWORD', SHORT, 'must have at least'],
    ['worker', 'MAIL_KEY', SHORT, 'must have at least'],
    ['worker', 'MAIL_KEY', 'change-me-change-me-change-me-change-me-1', 'is an example value'],
    ['gateway', 'REDIS_PASSWORD', SHORT, 'must have at least'],
    ['gateway', 'IDENTITY_PRIVATE_KEY', PASSWORD, 'must be'],
  ] as const)('%s with %s too short, an example or none of its kind', async (name, key, value, mistake) => {
    const { code, output } = await endOf(name, { [key]: value });
    expect({ code, output }).toEqual({ code: 78, output: expect.stringContaining(`${key}: ${mistake}`) });
    expect(output).not.toContain(value);
  });

  test('in production a bootstrap secret is no option', async () => {
    const { code, output } = await endOf('auth', { ENVIRONMENT: 'production' });
    expect(code).toBe(78);
    expect(output).toContain('BOOTSTRAP_SECRET: is required');
  });
});

test('F42: auth with another key for its signing keys does not start, and makes no keys of its own', async () => {
  const keys = () => query('select count(*)::int as count from auth.signing_keys');
  const before = await keys();
  const { code, output } = await endOf('auth', { JWT_SECRET: 'x8Kq2vN5tR7wZ1yB4mC6pL9sD3fG0hJa' });
  expect([1, 78]).toContain(code);
  expect(output).toMatch(/JWT_SECRET: does not open the signing keys/);
  expect(await keys()).toEqual(before);
});

test.each(['auth', 'org', 'audit', 'worker'] as const)(
  'F42: %s refuses a schema that it does not know',
  async (name) => {
    await query(
      `insert into migrations.applied (unit, version, name, checksum, kind)
     values ($1, 9999, '9999_from_tomorrow.sql', repeat('0', 64), 'contract')`,
      [name],
    );
    try {
      const { code, output } = await endOf(name, {});
      expect({ code, output }).toEqual({
        code: 1,
        output: expect.stringMatching(/cannot start: .*newer|9999_from_tomorrow/),
      });
    } finally {
      await query('delete from migrations.applied where version = 9999');
    }
  },
);

test.each(['auth', 'org', 'audit', 'worker'] as const)(
  'F42: without a database %s waits, alive and not ready, and says so',
  async (name) => {
    const { child, opsPort, output, closed } = await another(name, { DATABASE_PORT: String(await freePort()) });
    try {
      await until(
        'it is alive',
        10_000,
        () => plain(`http://127.0.0.1:${opsPort}/livez`).catch(() => undefined),
        Boolean,
      );
      expect((await plain(`http://127.0.0.1:${opsPort}/readyz`)).status).toBe(503);
      await until('it says so', 5_000, output, (said) => said.includes('waiting for the database'));
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill('SIGTERM');
    }
    expect(await closed).toBe(0);
  },
  30_000,
);

test('F44: a migration behind a long read gives way: requests to the same table wait a second at most', async () => {
  const admin = await platformAdmin();
  const { id } = (await admin.client.post<{ id: string }>('/api/orgs', { name: 'Read for long' })).body;
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-migration-'));
  writeFileSync(join(root, '0001_column.sql'), '-- expand\nalter table org.organizations add column from_f44 text;');
  const reader = new pg.Client({ connectionString: house().databaseUrl });
  await reader.connect();
  // Six seconds for sixty: several turns of the migration all the same.
  await reader.query('begin; select count(*) from org.organizations');
  const took: number[] = [];
  const load = startLoad(4, 20, async (line, round) => {
    const start = performance.now();
    const path = `/api/org/${id}`;
    const { status } = await (line === 0 ? admin.client.patch(path, { name: `R ${round}` }) : admin.client.get(path));
    took.push(performance.now() - start);
    expect(status).toBe(200);
  });
  const released = delay(6_000).then(() => reader.query('rollback'));
  const { settings, databasePasswords } = scene.platform;
  const startedAt = performance.now();
  const applied = await migrate(
    {
      host: '127.0.0.1',
      port: Number(settings['DATABASE_PORT']),
      database: settings['DATABASE_NAME'] ?? '',
      user: 'gatehouse_migrator',
      password: databasePasswords.migrator,
    },
    { root, units: [{ unit: 'f44', dir: '.', schemas: ['org'] }] },
  );
  const migratedMs = performance.now() - startedAt;
  await released;
  await load.stop();
  await reader.end();
  await query(`alter table org.organizations drop column from_f44`);
  await query(`delete from migrations.applied where unit = 'f44'`);
  rmSync(root, { recursive: true });

  const p99 = Math.round(took.sort((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? 0);
  process.stdout.write(`  F44: ${took.length} requests during the migration, p99 ${p99} ms\n`);
  expect(applied).toEqual(['f44/0001_column.sql']);
  expect(migratedMs).toBeGreaterThan(5_000);
  expect(p99).toBeLessThan(1_000);
}, 40_000);
