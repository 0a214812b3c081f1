import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, signedIn, startAuth } from '../testing.ts';
import { administration, REASON } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { admin, act, role, login } = administration(() => auth);

describe('who may', () => {
  test('administrators alone, with a second factor, and for changes with a proof not older than ten minutes', async () => {
    const user = await auth.user();
    const { id } = await admin();
    const base = { kind: 'user' as const, sub: id, sid: randomUUID(), role: 'admin' as const };
    const old = Math.floor(Date.now() / 1000) - 700;
    for (const [who, read, write] of [
      [{ ...base, role: 'user' as const }, 'access.denied', 'access.denied'],
      [{ ...base, amr: ['pwd' as const] }, 'auth.second_factor_required', 'auth.second_factor_required'],
      [{ ...base, auth_time: old }, undefined, 'auth.reauth_required'],
    ] as const) {
      const caller = auth.as(who as Parameters<typeof auth.as>[0]);
      expect((await caller.get('/api/admin/users')).body.code).toBe(read);
      expect((await caller.get(`/api/admin/users/${user.id}`)).body.code).toBe(read);
      expect((await caller.get('/api/admin/lockouts')).body.code).toBe(read);
      expect((await caller.post(`/api/admin/users/${user.id}/disable`, { reason: REASON })).body.code).toBe(write);
      expect((await caller.patch(`/api/admin/users/${user.id}`, { reason: REASON, role: 'admin' })).body.code).toBe(
        write,
      );
    }
    expect((await login(user.email)).status).toBe(200);
  });

  test('not who was an administrator a moment ago, whatever the token says', async () => {
    const [one, other] = [await admin(), await admin()];
    const user = await auth.user();
    expect((await role(one, other.id, 'user')).status).toBe(200);
    expect((await act(other, user.id, 'disable')).status).toBe(403);
    expect((await role(other, other.id, 'admin')).status).toBe(403);
    expect((await login(user.email)).status).toBe(200);
  });

  test('a change needs a reason, and nothing else is taken', async () => {
    const [who, user] = [await admin(), await auth.user()];
    for (const body of [
      {},
      { reason: '' },
      { reason: ' ' },
      { reason: 'x'.repeat(501) },
      { reason: 'a\nb' },
      { reason: 7 },
    ])
      expect((await act(who, user.id, 'disable', body)).status).toBe(400);
    expect((await act(who, user.id, 'disable', { reason: REASON, status: 'deleted' })).status).toBe(400);
    for (const to of ['owner', 'guest', 'ADMIN', 'admin ', null, ['admin']])
      expect((await role(who, user.id, to as string)).status).toBe(400);
    for (const id of ['1', 'x', '00000000-0000-0000-0000-000000000000']) {
      const status = (await act(who, id, 'disable')).status;
      expect([400, 404]).toContain(status);
    }
    expect((await act(who, randomUUID(), 'disable')).body.code).toBe('auth.account_not_found');
  });
});

test('one user, with what counts for an administrator and no secret', async () => {
  const who = await admin();
  const { user } = await signedIn(auth);
  const { status, body } = await who.get(`/api/admin/users/${user.id}`);
  expect(status).toBe(200);
  expect(body).toEqual({
    id: user.id,
    email: user.email,
    name: 'Uma User',
    role: 'user',
    status: 'active',
    email_verified: false,
    created_at: expect.any(String),
    disabled_at: null,
    disabled_reason: null,
    deletion_due_at: null,
    password_reset_required: false,
    has_password: true,
    second_factors: [],
    sessions: 1,
    last_used_at: expect.any(String),
    lock: null,
  });
});

test('tells when the platform was bootstrapped, and by whom', async () => {
  const who = await admin();
  expect((await who.get('/api/admin/bootstrap')).body).toEqual({
    completed: false,
    completed_at: null,
    by: null,
    org_id: null,
  });
  const { body } = await auth.anonymous.post('/api/bootstrap', {
    organization: { name: 'Acme Rockets' },
    admin: { email: 'root@acme.test', name: 'Ada Root', password: PASSWORD },
  });
  expect((await who.get('/api/admin/bootstrap')).body).toEqual({
    completed: true,
    completed_at: expect.stringMatching(/Z$/),
    by: { id: body.user.id, email: 'root@acme.test', name: 'Ada Root' },
    org_id: body.organization.id,
  });
});

test('what administrators do is in the log without a secret', async () => {
  const told = JSON.stringify(await auth.rows('select data from events.outbox'));
  expect(told).not.toContain(PASSWORD);
  expect(told).not.toMatch(/\$2b\$/);
});
