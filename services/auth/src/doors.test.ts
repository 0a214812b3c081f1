import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from './testing.ts';

const DAY_MS = 86_400_000;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

describe('the door find_users', () => {
  test('tells org the names and addresses of the users it asks for, and of no deleted one', async () => {
    const [one, two, gone] = [await auth.user(), await auth.user(), await auth.user({ status: 'deleted' })];
    const { rows } = await auth.database
      .pool('org')
      .pg.query('select * from auth.find_users($1) order by email', [[one.id, gone.id, randomUUID()]]);
    expect(rows).toEqual([{ id: one.id, email: one.email, name: 'Uma User' }]);
    expect(JSON.stringify(rows)).not.toContain(two.id);
  });

  test('is open to org alone', async () => {
    for (const role of ['auth', 'audit', 'worker', 'gateway'] as const)
      await expect(auth.database.pool(role).pg.query('select * from auth.find_users($1)', [[]])).rejects.toThrow(
        /permission denied/,
      );
  });
});

describe('the nightly clean-up', () => {
  test('removes what has had its time, and nothing that lives', async () => {
    const user = await auth.user();
    await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
    await auth.anonymous.post('/api/auth/login', { email: 'nobody@users.test', password: PASSWORD });
    const clean = async (after: number) => {
      const now = new Date(auth.clock().getTime() + after);
      const { rows } = await auth.database.pool('worker').pg.query('select auth.cleanup($1) as removed', [now]);
      return rows[0].removed;
    };
    const sessions = () => auth.rows('select 1 from auth.sessions where user_id = $1', [user.id]);

    expect(await clean(0)).toBe(0);
    expect(await clean(DAY_MS)).toBeGreaterThan(0);
    expect(await auth.rows('select 1 from auth.guess_budgets')).toEqual([]);
    expect(await sessions()).toHaveLength(1);
    await clean(121 * DAY_MS);
    expect(await sessions()).toEqual([]);
    expect(await auth.rows('select 1 from auth.signing_keys')).toHaveLength(2);
  });

  test('is open to the worker alone', async () => {
    for (const role of ['auth', 'org', 'gateway'] as const)
      await expect(auth.database.pool(role).pg.query('select auth.cleanup(now())')).rejects.toThrow(
        /permission denied/,
      );
  });
});

describe('the door end_everything, for after a restore', () => {
  test('F47 S031 ends every session and what could begin or renew one, and counts them', async () => {
    const user = await auth.user();
    const { body } = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
    await auth.anonymous.post('/api/auth/forgot-password', { email: user.email });
    const admin = auth.database.pool('admin').pg;
    const live = await admin.query('select count(*)::integer as count from auth.sessions where ended_at is null');
    const { rows } = await admin.query(`select auth.end_everything($1, 'restored') as ended`, [auth.clock()]);

    expect(rows[0].ended).toBe(live.rows[0].count);
    expect(body.refresh_token).toEqual(expect.any(String));
    const refreshed = await auth.anonymous.post('/api/auth/refresh', { refresh_token: body.refresh_token });
    expect(refreshed.status).toBe(401);
    for (const table of ['action_tokens', 'challenges', 'email_verifications', 'email_changes'])
      expect(await auth.rows(`select 1 from auth.${table}`)).toEqual([]);
  });

  test('is open to no service', async () => {
    for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const)
      await expect(auth.database.pool(role).pg.query(`select auth.end_everything(now(), 'restored')`)).rejects.toThrow(
        /permission denied/,
      );
  });
});

test('S123 the service can delete no account, session or key, and change no owner or end of a session', async () => {
  const pool = auth.database.pool('auth').pg;
  const statements = [
    'delete from auth.users',
    'delete from auth.sessions',
    'delete from auth.signing_keys',
    'truncate auth.users cascade',
    `update auth.users set id = id`,
    `update auth.users set created_at = now()`,
    'update auth.sessions set user_id = id',
    'update auth.sessions set expires_at = now()',
    'alter table auth.users disable trigger all',
    'select * from events.outbox',
    'delete from events.outbox',
    'select * from org.members',
  ];
  for (const statement of statements)
    await expect(pool.query(statement)).rejects.toThrow(/permission denied|must be owner/);
});

test('no other service reads a table of auth', async () => {
  for (const role of ['org', 'audit', 'worker', 'gateway'] as const)
    for (const table of ['users', 'sessions', 'signing_keys', 'bootstrap', 'guess_budgets', 'email_verifications'])
      await expect(auth.database.pool(role).pg.query(`select * from auth.${table}`)).rejects.toThrow(
        /permission denied/,
      );
});
