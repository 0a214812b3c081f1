import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, sessionOf, startAuth } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

test('F22 F24 without Redis one signs in, refreshes, is counted and signs out', async () => {
  const alone = await auth.another();
  alone.deps.redis.disconnect();
  const user = await auth.user();
  const login = await alone.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
  expect(login.status).toBe(200);
  const { refresh_token } = login.body;
  expect((await alone.anonymous.post('/api/auth/refresh', { refresh_token })).status).toBe(200);
  const wrong = () =>
    alone.anonymous.post('/api/auth/login', { email: 'one@users.test', password: 'a wrong password' });
  const statuses: number[] = [];
  for (let n = 0; n < 11; n++) statuses.push((await wrong()).status);
  expect(statuses).toEqual([...Array(5).fill(401), ...Array(6).fill(429)]);
  const session = sessionOf(alone, login);
  expect((await session.post('/api/auth/logout')).status).toBe(204);
  const fact = await alone.as({ kind: 'service', sub: 'gateway' }).get(`/internal/sessions/${session.session_id}`);
  expect(fact.body.active).toBe(false);
  expect(await alone.metrics()).toContain('auth_failed_distinct_accounts_5m 0');
});

test('F12 nobody signs in without its record', async () => {
  const user = await auth.user();
  await auth.rows(
    `alter table events.outbox add constraint nothing check (type <> 'auth.login_succeeded.v1') not valid`,
  );

  const login = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });

  expect(login.status).toBe(500);
  expect(login.body).toMatchObject({ code: 'internal', request_id: expect.any(String) });
  expect(JSON.stringify(login.body)).not.toMatch(/outbox|constraint/);
  expect(await auth.rows('select 1 from auth.sessions where user_id = $1', [user.id])).toEqual([]);
  await auth.rows('alter table events.outbox drop constraint nothing');
});

test('spraying shows: many accounts from one source, many sources at one account', async () => {
  const wrong = (email: string, address: string) =>
    auth
      .as({ kind: 'anonymous' }, { 'x-forwarded-for': address })
      .post('/api/auth/login', { email, password: 'a wrong password' });
  for (let n = 0; n < 7; n++) await wrong(`sprayed${n}@users.test`, '198.51.100.9');
  for (let n = 0; n < 5; n++) await wrong('target@users.test', `203.0.${n}.9`);
  const metrics = await auth.metrics();
  expect(metrics).toMatch(/^auth_failed_distinct_accounts_5m 7$/m);
  expect(metrics).toMatch(/^auth_failed_distinct_sources_5m 5$/m);
});
