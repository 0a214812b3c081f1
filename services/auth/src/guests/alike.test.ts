import type { Answer, Client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, shapeOf } from '../mails/testing.ts';
import { type AuthUnderTest, PASSWORD, sessionOf, startAuth } from '../testing.ts';
import {
  address,
  lock,
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

/** Addresses of every kind that there may be. */
const KINDS: Record<string, () => Promise<string>> = {
  active: async () => (await auth.user()).email,
  verified: async () => {
    const { email } = await auth.user();
    await auth.rows('update auth.users set email_verified_at = now() where email = $1', [email]);
    return email;
  },
  disabled: async () => (await auth.user({ status: 'disabled' })).email,
  closing: async () => {
    const { email } = await auth.user({ status: 'disabled' });
    await auth.rows(`update auth.users set deletion_due_at = now() + interval '9 days' where email = $1`, [email]);
    return email;
  },
  locked: async () => {
    const { email } = await auth.user();
    await lock(auth, email);
    return email;
  },
  'to be reset': async () => {
    const { email } = await auth.user();
    await auth.rows('update auth.users set password_reset_required = true where email = $1', [email]);
    return email;
  },
  'without a password': async () => (await auth.user({ hash: null })).email,
  'an administrator': async () => (await auth.user({ role: 'admin' })).email,
  'an imported guest': async () => (await auth.user({ role: 'guest' })).email,
  deleted: async () => (await auth.user({ status: 'deleted' })).email,
  'registered by somebody else': async () => {
    const email = address();
    await register(email, THIRD_PASSWORD);
    return email;
  },
};

/** Without what differs between any two clients: ids, tokens, times, and where they are. */
function withoutIds(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, inner) =>
      /^(id|device_id|access_token|refresh_token|address)$/.test(key) || /_at$/.test(key) ? key : inner,
    ),
  );
}

function seen(answer: Answer, email: string): unknown {
  const { status, body, headers } = shapeOf(answer);
  const cookies = headers['set-cookie']?.replace(/=[\w.-]+/g, '=…');
  const { 'content-length': _, etag: __, ...others } = headers;
  const text = JSON.stringify(withoutIds({ status, body, headers: { ...others, 'set-cookie': cookies } }));
  return JSON.parse(text.replaceAll(email, 'the address'));
}

/** Everything that somebody without the mailbox can do with an address. */
async function explore(email: string): Promise<unknown[]> {
  const from = elsewhere(auth);
  const answers: Answer[] = [await register(email, OTHER_PASSWORD, from)];
  const first = await login(email, OTHER_PASSWORD, from);
  answers.push(first);
  const guest = sessionOf(auth, first);
  const paths = ['me', 'sessions', 'devices', 'factors', 'reauthenticate'];
  for (const path of paths) answers.push(await guest.get(`/api/auth/${path}`));
  answers.push(await register(email, 'another good passphrase', from));
  answers.push(await login(email, 'another good passphrase', from));
  answers.push(await login(email, OTHER_PASSWORD, from));
  answers.push(await login(email, 'a wrong password indeed', from));
  answers.push(await from.post('/api/auth/password/forgot', { email }));
  answers.push(await from.post('/api/auth/email/resend', { email }));
  answers.push(await guest.patch('/api/auth/me', { name: 'Other' }));
  answers.push(await guest.post('/api/auth/email/change', { new_email: address() }));
  answers.push(await guest.post('/api/auth/password/change', { password: OTHER_PASSWORD, new_password: PASSWORD }));
  answers.push(await guest.delete('/api/auth/me'));
  answers.push(await from.post('/api/auth/refresh', { refresh_token: first.body.refresh_token }));
  answers.push(await guest.post('/api/auth/logout'));
  answers.push(await login(email, OTHER_PASSWORD, elsewhere(auth)));
  return answers.map((answer) => seen(answer, email));
}

describe('S001 nobody can tell a free address from one that is', () => {
  let free: unknown[];
  beforeAll(async () => {
    free = await explore(address());
  });

  test('free', () => {
    const statuses = (free as { status: number }[]).map(({ status }) => status);
    expect(statuses).toEqual([
      202, 200, 200, 200, 200, 200, 200, 202, 200, 200, 401, 202, 202, 403, 403, 403, 403, 200, 204, 200,
    ]);
  });

  test.each(Object.keys(KINDS))('%s', async (kind) => {
    const email = await (KINDS[kind] as () => Promise<string>)();
    expect(await explore(email)).toEqual(free);
  });
});

test('S001 the placeholder of a guest is nobody: it signs in, resets and registers nothing', async () => {
  const guest = await visitor(auth, address());
  const placeholder = `guest-${guest.user_id}@invalid`;
  expect((await login(placeholder, OTHER_PASSWORD)).status).toBe(400);
  expect((await register(placeholder, OTHER_PASSWORD)).status).toBe(400);
});
