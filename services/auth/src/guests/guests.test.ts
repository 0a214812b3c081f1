import { randomUUID } from 'node:crypto';
import { hmac } from '@gatehouse/kit/crypto';
import type { Answer } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo, shapeOf, templatesTo, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, claimsOf, isActive, PASSWORD, sessionOf, startAuth } from '../testing.ts';

const OTHER_PASSWORD = 'quiet lamps over a narrow river';
const THIRD_PASSWORD = 'seven green boats at anchor';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const address = () => `${randomUUID()}@guests.test`;
const register = (email: string, password: string, from = elsewhere(auth)) =>
  from.post('/api/auth/register', { email, name: 'Gus Guest', password });
const login = (email: string, password: string, from = elsewhere(auth)) =>
  from.post('/api/auth/login', { email, password });
const guestsOf = (email: string) =>
  auth.rows<{ id: string; status: string }>(
    'select id, status from auth.users where registered_email = $1 order by created_at, id',
    [email],
  );

/** A guest who has registered and signed in. */
async function visitor(email: string, password = OTHER_PASSWORD) {
  expect((await register(email, password)).status).toBe(202);
  const answer = await login(email, password);
  expect(answer.status).toBe(200);
  return { ...sessionOf(auth, answer), refresh_token: answer.body.refresh_token as string, answer };
}

/** Whether nothing of a guest is left to its holder. */
async function expectGone(email: string, guest: Awaited<ReturnType<typeof visitor>>, password = OTHER_PASSWORD) {
  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: guest.refresh_token })).status).toBe(401);
  expect((await login(email, password)).status).toBe(401);
}

async function lock(email: string): Promise<void> {
  await auth.rows(
    `insert into auth.login_lanes (bucket, used, window_ends_at, locked_until, failures, judged, lasting)
     values ($1, 0, now() + interval '1 day', now() + interval '1 day', 80, true, true)
     on conflict (bucket) do update set locked_until = excluded.locked_until, failures = 80`,
    [hmac(auth.deps.secrets.budgets, `login_account\n${email}`)],
  );
}

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
    await lock(email);
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

test('who registers signs in at once, as a guest of the address, who reads and signs out', async () => {
  const email = address();

  const guest = await visitor(email);

  expect(guest.answer.body.user).toEqual({ id: guest.user_id, email, name: 'Gus Guest', role: 'guest' });
  const { payload } = claimsOf(guest.answer.body.access_token);
  expect(payload.role).toBe('guest');
  const me = await guest.get('/api/auth/me');
  expect(me.body).toMatchObject({ email, role: 'guest', email_verified: false, password_set: true });
  expect((await guest.get('/api/auth/sessions')).body.data).toHaveLength(1);
  expect((await guest.patch('/api/auth/me', { name: 'Other' })).status).toBe(403);
  expect((await guest.post('/api/auth/email/resend', { email })).status).toBe(202);
  expect((await guest.delete('/api/auth/sessions')).status).toBe(204);
  expect(await isActive(auth, guest.session_id)).toBe(false);
});

test('who confirms the address goes on with the same password, as a user', async () => {
  const email = address();
  const guest = await visitor(email);

  const token = await tokenSentTo(auth, email, 'verify-address');
  expect((await guest.post('/api/auth/email/verify', { token })).status).toBe(204);

  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect((await login(email, OTHER_PASSWORD)).body.user).toMatchObject({ email, role: 'user', name: 'Gus Guest' });
  expect((await guestsOf(email)).map(({ status }) => status)).toEqual(['deleted']);
  const [revoked] = (await auth.events('auth.session_revoked.v1')).filter(
    ({ data }) => data['session_id'] === guest.session_id,
  );
  expect(revoked?.data).toMatchObject({ reason: 'address_confirmed' });
});

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
  const guest = await visitor(address());
  const placeholder = `guest-${guest.user_id}@invalid`;
  expect((await login(placeholder, OTHER_PASSWORD)).status).toBe(400);
  expect((await register(placeholder, OTHER_PASSWORD)).status).toBe(400);
});

describe('what protects the account of an address', () => {
  const failures = async (email: string) =>
    (
      await auth.rows<{ failures: number }>('select failures from auth.login_lanes where bucket = $1', [
        hmac(auth.deps.secrets.budgets, `login_account\n${email}`),
      ])
    )[0]?.failures;

  test('counts the sign-ins of its guests, and forgets nothing by them', async () => {
    const { email } = await auth.user();
    await register(email, OTHER_PASSWORD);
    const from = elsewhere(auth);
    for (const password of ['a wrong one', OTHER_PASSWORD, 'a wrong one', OTHER_PASSWORD])
      await login(email, password, from);
    expect(await failures(email)).toBe(4);
    expect((await login(email, PASSWORD, from)).body.user.role).toBe('user');
    expect(await failures(email)).toBeUndefined();
  });

  test('locks the account after as many tries, however many of them are guests', async () => {
    const { email } = await auth.user();
    await register(email, OTHER_PASSWORD);
    for (let n = 0; n < 20; n++) {
      expect((await login(email, n % 2 ? OTHER_PASSWORD : 'a wrong one')).status).toBe(n % 2 ? 200 : 401);
      auth.clock.advance(61_000 * (n > 8 ? 1 : 0));
    }
    expect((await login(email, PASSWORD)).status).toBe(401);
    expect((await login(email, OTHER_PASSWORD)).status).toBe(200);
    expect(await templatesTo(auth, email)).toEqual(['address-taken', 'sign-in-blocked']);
  });

  test('takes no device of a guest for one of the account', async () => {
    const { email } = await auth.user();
    const guest = await visitor(email);
    const [device = ''] = (guest.answer.headers.get('set-cookie') ?? '').split(';');
    const from = elsewhere(auth, { cookie: device });
    await lock(email);
    expect((await login(email, PASSWORD, from)).status).toBe(401);
  });

  test('keeps the account for whoever registers it again with its own password', async () => {
    const { email } = await auth.user();
    await register(email, PASSWORD);
    expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  });
});

test('S021 no guest makes the owner of the address get a mail, wherever it signs in from', async () => {
  const { email } = await auth.user();
  const guest = await visitor(email);
  await login(email, OTHER_PASSWORD, elsewhere(auth, { 'user-agent': 'Mozilla/5.0 (X11; Linux) Firefox/140.0' }));
  const refresh = () => elsewhere(auth).post('/api/auth/refresh', { refresh_token: guest.refresh_token });
  await refresh();
  auth.clock.advance(60_000);
  await refresh();
  expect(await isActive(auth, guest.session_id)).toBe(false);
  expect(await templatesTo(auth, email)).toEqual(['address-taken']);
  expect(await auth.rows(`select 1 from events.jobs where payload->>'to' like '%@invalid'`)).toEqual([]);
});

describe('S021 who registers the address of a victim loses everything when', () => {
  test('the victim confirms an own registration', async () => {
    const email = address();
    const attacker = await visitor(email);
    await register(email, PASSWORD);
    const own = await tokenSentTo(auth, email, 'verify-address');
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: own })).status).toBe(204);
    await expectGone(email, attacker);
    expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  });

  test.each(['free', 'taken'])('the victim resets the password of the address, which was %s', async (was) => {
    const email = was === 'taken' ? (await auth.user()).email : address();
    const attacker = await visitor(email);
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
    const attacker = await visitor(email);
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
    const attacker = await visitor(email);
    // A claim is an account to administrators; here it was dropped, and the guest is left.
    await auth.rows('delete from auth.email_verifications where email = $1', [email]);
    await auth.rows('delete from auth.users where email = $1', [email]);
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
});

// Tried without the row that the sign-in holds and the end waits for: a session lived on.
test('S021 of sign-ins of a guest and the proof of the address at one instant none is left', async () => {
  for (let round = 0; round < 5; round++) {
    const email = address();
    await register(email, OTHER_PASSWORD);
    const token = await tokenSentTo(auth, email, 'verify-address');
    const [, ...answers] = await Promise.all([
      elsewhere(auth).post('/api/auth/email/verify', { token }),
      ...Array.from({ length: 6 }, () => login(email, OTHER_PASSWORD)),
    ]);
    for (const answer of answers.filter(({ status, body }) => status === 200 && body.user.role === 'guest'))
      expect(await isActive(auth, sessionOf(auth, answer).session_id)).toBe(false);
  }
});

test('of thirty registrations of an address at one instant ten guests are left, the newest ones', async () => {
  const email = address();
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => register(email, `the passphrase of no ${n}`)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  const guests = await guestsOf(email);
  expect(guests.filter(({ status }) => status === 'active')).toHaveLength(10);

  const oldest = guests.find(({ status }) => status === 'active');
  await register(email, OTHER_PASSWORD);
  const now = await guestsOf(email);
  expect(now.filter(({ status }) => status === 'active')).toHaveLength(10);
  expect(now.find(({ id }) => id === oldest?.id)?.status).toBe('deleted');
  expect((await login(email, OTHER_PASSWORD)).status).toBe(200);
  expect((await mailsTo(auth, email)).length).toBeLessThanOrEqual(3);
});

test('a guest whose hash is not that of the password it was chosen for stands in nobody’s way', async () => {
  const { email } = await auth.user();
  await register(email, OTHER_PASSWORD);
  // One password in 65,536 has the tag of another.
  const tag = auth.deps.hasher.tag(PASSWORD);
  await auth.rows('update auth.users set password_tag = $1 where registered_email = $2', [tag, email]);
  expect((await login(email, PASSWORD)).body.user.role).toBe('user');
  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
});

test('a visit lasts seven days, with its sessions, and nothing of it is left', async () => {
  const email = address();
  const guest = await visitor(email);
  const ended = await visitor(email, PASSWORD);
  await ended.post('/api/auth/logout');
  const [session] = (await guest.get('/api/auth/sessions')).body.data;
  expect(new Date(session.expires_at).getTime()).toBeLessThanOrEqual(auth.clock().getTime() + 7 * 86_400_000);
  const clean = (days: number) =>
    auth.database
      .pool('worker')
      .pg.query('select auth.cleanup($1)', [new Date(auth.clock().getTime() + days * 86_400_000)]);
  const left = async (table: string, column: string) =>
    (await auth.rows(`select 1 from auth.${table} where ${column} = any ($1)`, [[guest.user_id, ended.user_id]]))
      .length;
  await clean(6.9);
  expect(await left('users', 'id')).toBe(2);
  await clean(7.1);
  for (const table of ['sessions', 'devices']) expect(await left(table, 'user_id')).toBe(0);
  expect(await left('users', 'id')).toBe(0);
});

test('a registration keeps the claim of its address for as long as its guest', async () => {
  const email = address();
  await register(email, OTHER_PASSWORD);
  await auth.rows(`update auth.users set confirm_by = confirm_by - interval '6 days' where email = $1`, [email]);
  await register(email, PASSWORD);
  const [same] = await auth.rows(
    `select (select confirm_by from auth.users where email = $1)
       = (select max(confirm_by) from auth.users where registered_email = $1) as same`,
    [email],
  );
  expect(same).toEqual({ same: true });
});

test('a visiting guest becomes nothing else: the database refuses it', async () => {
  const guest = await visitor(address());
  for (const change of [`role = 'user'`, `role = 'admin'`, 'email_verified_at = now()', 'confirm_by = null'])
    await expect(auth.rows(`update auth.users set ${change} where id = $1`, [guest.user_id])).rejects.toThrow(
      'users_visitor_is_guest',
    );
});

test('administrators see guests when they ask for them, by the address that they registered', async () => {
  const email = address();
  const guest = await visitor(email);
  const root = await auth.user({ role: 'admin' });
  const admin = auth.as({ kind: 'user', sub: root.id, role: 'admin' });
  const found = async (query: string) =>
    (await admin.get(`/api/admin/users?q=${email}${query}`)).body.data.map(({ id }: { id: string }) => id);
  expect(await found('')).not.toContain(guest.user_id);
  expect(await found('&role=guest')).toContain(guest.user_id);
  const one = await admin.get(`/api/admin/users/${guest.user_id}`);
  expect(one.body).toMatchObject({ email, role: 'guest', sessions: 1 });
  const because = { reason: 'seen in a test' };
  expect((await admin.patch(`/api/admin/users/${guest.user_id}`, { ...because, role: 'admin' })).status).toBe(409);
  expect((await admin.post(`/api/admin/users/${guest.user_id}/reset-password`, because)).status).toBe(409);
  expect((await admin.post(`/api/admin/users/${guest.user_id}/disable`, because)).status).toBe(200);
  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
});

test('where everybody needs a second factor guests come in without one: they may change nothing', async () => {
  const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
  const email = address();
  await register(email, OTHER_PASSWORD);
  const answer = await strict.anonymous.post('/api/auth/login', { email, password: OTHER_PASSWORD });
  expect(answer.body.user).toMatchObject({ email, role: 'guest' });
});
