import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runImport } from '../import/testing.ts';
import { elsewhere, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, isActive, PASSWORD, sessionOf, startAuth } from '../testing.ts';
import {
  address,
  login as loginAt,
  OTHER_PASSWORD,
  register as registerAt,
  THIRD_PASSWORD,
  visitor,
} from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const register = (email: string, password: string, from?: Client) => registerAt(auth, email, password, from);
const login = (email: string, password: string, from?: Client) => loginAt(auth, email, password, from);

/** Whether nothing of a guest is left to its holder. */
async function expectGone(email: string, guest: Awaited<ReturnType<typeof visitor>>, password = OTHER_PASSWORD) {
  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: guest.refresh_token })).status).toBe(401);
  expect((await login(email, password)).status).toBe(401);
}

describe('S021 who registers the address of a victim loses everything when', () => {
  test('the victim confirms an own registration', async () => {
    const email = address();
    const attacker = await visitor(auth, email);
    await register(email, PASSWORD);
    const own = await tokenSentTo(auth, email, 'verify-address');
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: own })).status).toBe(204);
    await expectGone(email, attacker);
    expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  });

  test.each(['free', 'taken'])('the victim resets the password of the address, which was %s', async (was) => {
    const email = was === 'taken' ? (await auth.user()).email : address();
    const attacker = await visitor(auth, email);
    await elsewhere(auth).post('/api/auth/password/forgot', { email });
    const reset = await elsewhere(auth).post('/api/auth/password/reset', {
      token: await tokenSentTo(auth, email, 'password-reset'),
      new_password: THIRD_PASSWORD,
    });
    expect(reset.status).toBe(204);
    await expectGone(email, attacker);
    expect((await login(email, THIRD_PASSWORD)).body.user.role).toBe('user');
  });

  test('the victim changes to the address', async () => {
    const email = address();
    const attacker = await visitor(auth, email);
    const user = await auth.user();
    const session = sessionOf(auth, await login(user.email, PASSWORD));
    expect((await session.post('/api/auth/email/change', { new_email: email })).status).toBe(202);
    for (const to of [user.email, email])
      await elsewhere(auth).post('/api/auth/email/change/confirm', {
        token: await tokenSentTo(auth, to, 'email-change'),
      });
    await expectGone(email, attacker);
    expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  });

  test('an administrator makes an account of the address', async () => {
    const email = address();
    const attacker = await visitor(auth, email);
    const admins = await auth.another({ REGISTRATION_MODE: 'admin' });
    const org = randomUUID();
    await auth.rows(
      `insert into org.organizations (id, name, slug, status, created_by) values ($1, 'Zephyrine', $2, 'active', $1)`,
      [org, `g-${org.slice(0, 8)}`],
    );
    const root = await auth.user({ role: 'admin' });
    const made = await admins
      .as({ kind: 'user', sub: root.id, role: 'admin' })
      .post('/api/auth/register', { email, name: 'Vera', password: PASSWORD, org_id: org });
    expect(made.status).toBe(201);
    await expectGone(email, attacker);
  });

  test('the address is imported', async () => {
    const email = address();
    const attacker = await visitor(auth, email);
    const dir = await mkdtemp(join(tmpdir(), 'guests-'));
    await writeFile(join(dir, 'users.ndjson'), `${JSON.stringify({ email, name: 'Ida', email_verified: true })}\n`);
    const { code, stderr } = await runImport(auth, join(dir, 'users.ndjson')).ended;
    await rm(dir, { recursive: true });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await expectGone(email, attacker);
  });
});

describe('S021 of a guest who signs in while somebody proves the address no session is left', () => {
  // Tried without the lock of the guest's row: the session lived on.
  test('when the sign-in was there first', async () => {
    await auth.rows(`
      create function auth.linger() returns trigger language plpgsql as 'begin perform pg_sleep(0.5); return null; end'`);
    await auth.rows('create trigger linger after insert on auth.sessions for each row execute function auth.linger()');
    const email = address();
    await register(email, OTHER_PASSWORD);
    const token = await tokenSentTo(auth, email, 'verify-address');

    const signingIn = login(email, OTHER_PASSWORD);
    await new Promise((done) => setTimeout(done, 250));
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token })).status).toBe(204);

    const answer = await signingIn;
    await auth.rows('drop function auth.linger cascade');
    expect(answer.body.user.role).toBe('guest');
    expect(await auth.rows('select end_reason from auth.sessions where user_id = $1', [answer.body.user.id])).toEqual([
      { end_reason: 'address_confirmed' },
    ]);
  });

  test('at one instant', async () => {
    const email = address();
    await register(email, OTHER_PASSWORD);
    const token = await tokenSentTo(auth, email, 'verify-address');
    const [, ...answers] = await Promise.all([
      elsewhere(auth).post('/api/auth/email/verify', { token }),
      ...Array.from({ length: 6 }, () => login(email, OTHER_PASSWORD)),
    ]);
    for (const answer of answers.filter(({ status, body }) => status === 200 && body.user.role === 'guest'))
      expect(await isActive(auth, sessionOf(auth, answer).session_id)).toBe(false);
  });
});
