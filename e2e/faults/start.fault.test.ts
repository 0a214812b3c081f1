import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@gatehouse/testkit/process';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { query } from '../house/house.ts';
import { platformAdmin } from '../house/people.ts';
import { plain } from '../house/plain.ts';
import { until } from '../house/wait.ts';
import { NAMES, type Name, startBeside } from './beside.ts';
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

test('F42: a process refuses a schema that it does not know', async () => {
  await query(
    `insert into migrations.applied (unit, version, name, checksum, kind)
     values ('org', 9999, '9999_from_tomorrow.sql', repeat('0', 64), 'contract')`,
  );
  try {
    const { code, output } = await endOf('org', {});
    expect({ code, output }).toEqual({
      code: 1,
      output: expect.stringMatching(/cannot start: .*newer|9999_from_tomorrow/),
    });
  } finally {
    await query('delete from migrations.applied where version = 9999');
  }
});

test('F42: without a database a process waits, alive and not ready, and says so', async () => {
  const { child, opsPort, output, closed } = await another('org', { DATABASE_PORT: String(await freePort()) });
  try {
    await until(
      'it is alive',
      10_000,
      () => plain(`http://127.0.0.1:${opsPort}/livez`).catch(() => undefined),
      Boolean,
    );
    expect((await plain(`http://127.0.0.1:${opsPort}/readyz`)).status).toBe(503);
    await delay(1500);
    expect(child.exitCode).toBeNull();
    expect(output()).toContain('waiting for the database');
  } finally {
    child.kill('SIGTERM');
  }
  expect(await closed).toBe(0);
}, 30_000);
