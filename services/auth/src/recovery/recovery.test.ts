import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo, shapeOf, templatesTo, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, isActive, PASSWORD, signedIn, signedInAgain, startAuth } from '../testing.ts';

const NEW_PASSWORD = 'quiet lamps over a narrow river';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const forgot = (email: string, headers = {}) => elsewhere(auth, headers).post('/api/auth/password/forgot', { email });
const reset = (token: string, new_password = NEW_PASSWORD) =>
  elsewhere(auth).post('/api/auth/password/reset', { token, new_password });
const login = (email: string, password = PASSWORD) => elsewhere(auth).post('/api/auth/login', { email, password });
const linkTo = (email: string) => tokenSentTo(auth, email, 'password-reset');
const verifiedUser = async () => {
  const user = await auth.user();
  await auth.rows('update auth.users set email_verified_at = created_at where id = $1', [user.id]);
  return user;
};

test('S053 a link from the mail sets a new password and signs nobody in', async () => {
  const user = await verifiedUser();
  expect(await forgot(user.email)).toMatchObject({ status: 202, body: { status: 'mail_sent' } });

  const answer = await reset(await linkTo(user.email));

  expect(answer).toMatchObject({ status: 204, body: undefined });
  expect([...answer.headers.keys()]).not.toContain('set-cookie');
  expect((await login(user.email)).status).toBe(401);
  expect((await login(user.email, NEW_PASSWORD)).status).toBe(200);
  expect(await templatesTo(auth, user.email)).toEqual(expect.arrayContaining(['password-reset', 'password-changed']));
  const [done] = (await auth.events('auth.password_reset.v1')).slice(-1);
  expect(done?.data).toEqual({ user_id: user.id, verified: false });
});

describe('S001 asking for a link', () => {
  test('is answered alike for every address, and mails those that have an account in use', async () => {
    const known = await auth.user();
    const passwordless = await auth.user({ hash: null });
    const disabled = await auth.user({ status: 'disabled' });
    const deleted = await auth.user({ status: 'deleted' });
    const emails = [known.email, passwordless.email, disabled.email, deleted.email, `${randomUUID()}@nobody.test`];
    const before = await auth.rows('select count(*)::int as jobs from events.jobs');

    const shapes: unknown[] = [];
    for (const email of emails) shapes.push(shapeOf(await forgot(email)));

    for (const shape of shapes) expect(shape).toEqual(shapes[0]);
    const mails = await Promise.all(emails.map(async (email) => (await mailsTo(auth, email)).length));
    expect(mails).toEqual([1, 1, 0, 0, 0]);
    expect(await auth.rows('select count(*)::int - 2 as jobs from events.jobs')).toEqual(before);
    const asked = (await auth.events('auth.password_reset_requested.v1')).slice(-5).map(({ data }) => data['sent']);
    expect(asked).toEqual([true, true, false, false, false]);
  });

  test('leaves the links of whoever stood in for an unknown address as they were', async () => {
    const [first] = await auth.rows<{ email: string }>(`select email from auth.users order by id limit 1`);
    const owner = first?.email ?? '';
    const count = () => auth.rows('select count(*)::int as total from auth.action_tokens');
    await auth.rows('delete from auth.guess_budgets');
    await forgot(owner);
    const before = await count();
    await forgot(`${randomUUID()}@nobody.test`);
    expect(await count()).toEqual(before);
  });

  test('S015 finds the account in every spelling of its address, and mails to the stored one', async () => {
    const user = await auth.user();
    for (const spelling of [` ${user.email.toUpperCase()} `, user.email.replace('@', '\uff20')]) {
      expect((await forgot(spelling)).status).toBe(202);
    }
    expect((await mailsTo(auth, user.email)).map(({ payload }) => payload.to)).toEqual([user.email, user.email]);
  });

  test('S018 S006 refuses what is no address', async () => {
    const addresses = [
      'x@y.test\r\nBcc: z@y.test',
      'x@y.test, z@y.test',
      'x\u0000@y.test',
      'x\ud800@y.test',
      '<x@y.test>',
    ];
    for (const email of addresses)
      for (const path of ['password/forgot', 'email/resend'])
        expect({ email, status: (await elsewhere(auth).post(`/api/auth/${path}`, { email })).status }).toEqual({
          email,
          status: 400,
        });
    const { session } = await signedIn(auth);
    for (const new_email of addresses)
      expect((await session.post('/api/auth/email/change', { new_email })).status).toBe(400);
  });

  test('S019 takes an address and nothing else', async () => {
    for (const body of [{ email: ['x@y.test'] }, { email: { $gt: '' } }, {}, { email: 'x@y.test', redirect: '//evil' }])
      expect((await elsewhere(auth).post('/api/auth/password/forgot', body)).status).toBe(400);
  });
});

describe('S060 a link', () => {
  test('is good for one of ten at one instant', async () => {
    const user = await auth.user();
    await forgot(user.email);
    const token = await linkTo(user.email);
    const answers = await Promise.all(Array.from({ length: 10 }, () => reset(token)));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(9).fill(400)]);
  });

  test('is dead after a newer one, and after half an hour', async () => {
    const user = await auth.user();
    await forgot(user.email);
    const older = await linkTo(user.email);
    await forgot(user.email);
    const newer = await linkTo(user.email);
    expect(await reset(older)).toMatchObject({ status: 400, body: { code: 'auth.token_refused' } });
    auth.clock.advance(30 * 60_000 + 1000);
    expect((await reset(newer)).status).toBe(400);
    expect((await login(user.email)).status).toBe(200);
  });

  test('is the only one, however many ask for one at an instant', async () => {
    const user = await auth.user();
    await Promise.all([forgot(user.email), forgot(user.email), forgot(user.email)]);
    expect(await auth.rows('select 1 from auth.action_tokens where user_id = $1', [user.id])).toHaveLength(1);
  });

  test('is dead after the password or the address was changed, and when the account is disabled', async () => {
    const changed = await signedIn(auth);
    await forgot(changed.user.email);
    const change = { current_password: PASSWORD, new_password: NEW_PASSWORD };
    expect((await changed.session.post('/api/auth/password/change', change)).status).toBe(204);
    expect((await reset(await linkTo(changed.user.email), 'yet another good one')).status).toBe(400);

    const moved = await auth.user();
    await forgot(moved.email);
    await auth.rows('update auth.users set email = $1 where id = $2', [`${randomUUID()}@moved.test`, moved.id]);
    expect((await reset(await linkTo(moved.email))).status).toBe(400);

    const disabled = await auth.user();
    await forgot(disabled.email);
    await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [disabled.id]);
    expect((await reset(await linkTo(disabled.email))).status).toBe(400);
  });

  test('S066 is good for nothing else, and no other link for it', async () => {
    const user = await auth.user();
    await forgot(user.email);
    const token = await linkTo(user.email);
    for (const path of ['/api/auth/email/verify', '/api/auth/email/change/confirm', '/api/auth/restore'])
      expect(await elsewhere(auth).post(path, { token })).toMatchObject({
        status: 400,
        body: { code: 'auth.token_refused' },
      });
    await elsewhere(auth).post('/api/auth/email/resend', { email: user.email });
    expect((await reset(await tokenSentTo(auth, user.email, 'verify-address'))).status).toBe(400);
    expect((await reset(token)).status).toBe(204);
  });

  test('S060 names no account: one that is named beside it is refused', async () => {
    const [user, other] = [await auth.user(), await auth.user()];
    await forgot(user.email);
    const body = { token: await linkTo(user.email), new_password: NEW_PASSWORD, user_id: other.id };
    expect((await elsewhere(auth).post('/api/auth/password/reset', body)).status).toBe(400);
    expect((await login(other.email)).status).toBe(200);
  });

  test('lies nowhere in the clear, and only its hash is kept', async () => {
    const user = await auth.user();
    await forgot(user.email);
    const token = await linkTo(user.email);
    const everything = JSON.stringify([
      await auth.rows(`select t.*, encode(token_hash, 'base64') as hash from auth.action_tokens t`),
      await auth.rows("select payload, encode(secret, 'escape') as secret from events.jobs"),
      await auth.rows('select data, actor from events.outbox'),
    ]);
    expect(everything).not.toContain(token);
    expect(everything).not.toContain(Buffer.from(token).toString('base64'));
  });

  test('S008 is not used up by a password that is too weak', async () => {
    const user = await auth.user();
    await forgot(user.email);
    const token = await linkTo(user.email);
    expect(await reset(token, 'password1234567')).toMatchObject({
      status: 400,
      body: { code: 'request.invalid', errors: [{ pointer: '/new_password' }] },
    });
    expect((await reset(token, user.email)).status).toBe(400);
    expect((await reset(token)).status).toBe(204);
  });
});

describe('S021 a new password by link', () => {
  test('ends sessions, refresh tokens, links, codes, trust, challenges and changes under way', async () => {
    const user = await verifiedUser();
    const { session, token } = await signedInAgain(auth, user);
    await session.post('/api/auth/email/change', { new_email: `${randomUUID()}@attacker.test` });
    const old = await tokenSentTo(auth, user.email, 'email-change');
    await forgot(user.email);

    expect((await reset(await linkTo(user.email))).status).toBe(204);

    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: token })).status).toBe(401);
    expect((await elsewhere(auth).post('/api/auth/email/change/confirm', { token: old })).status).toBe(400);
    for (const table of ['action_tokens', 'email_verifications', 'email_changes', 'challenges', 'one_time_codes'])
      expect(await auth.rows(`select 1 from auth.${table} where user_id = $1`, [user.id])).toEqual([]);
    const [row] = await auth.rows('select password_reset_required from auth.users where id = $1', [user.id]);
    expect(row).toEqual({ password_reset_required: false });
  });

  test('proves the address, and leaves nothing of who had the account before', async () => {
    const { user, session } = await signedIn(auth);
    await auth.rows(
      `insert into auth.factors (id, user_id, method, secret_sealed, created_at, confirmed_at)
       values ($1, $2, 'totp', 'x', now(), now())`,
      [randomUUID(), user.id],
    );
    await forgot(user.email);
    expect((await reset(await linkTo(user.email))).status).toBe(204);
    expect(await auth.rows('select 1 from auth.factors where user_id = $1', [user.id])).toEqual([]);
    expect(await isActive(auth, session.session_id)).toBe(false);
    const [row] = await auth.rows('select email_verified_at is not null as verified from auth.users where id = $1', [
      user.id,
    ]);
    expect(row).toEqual({ verified: true });
  });

  test('S053 leaves the second factor of a proved account, which the next sign-in asks for', async () => {
    const user = await verifiedUser();
    await auth.rows(
      `insert into auth.factors (id, user_id, method, secret_sealed, created_at, confirmed_at)
       values ($1, $2, 'totp', 'x', now(), now())`,
      [randomUUID(), user.id],
    );
    await forgot(user.email);
    expect(await reset(await linkTo(user.email))).toMatchObject({ status: 204, body: undefined });
    const answer = await login(user.email, NEW_PASSWORD);
    expect(answer).toMatchObject({ status: 200, body: { second_factor_required: true } });
    expect(answer.body.access_token).toBeUndefined();
  });

  test('takes over a registration that somebody else made and nobody confirmed', async () => {
    const email = `${randomUUID()}@victim.test`;
    const registration = { email, name: 'Mallory', password: PASSWORD };
    await elsewhere(auth).post('/api/auth/register', registration);
    const attackers = await tokenSentTo(auth, email, 'verify-address');
    await forgot(email);
    expect((await reset(await linkTo(email))).status).toBe(204);
    expect((await login(email)).status).toBe(401);
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: attackers })).status).toBe(400);
    expect((await login(email, NEW_PASSWORD)).body.user.role).toBe('user');
  });

  test('gives an account without a password one', async () => {
    const user = await auth.user({ hash: null });
    await forgot(user.email);
    expect((await reset(await linkTo(user.email))).status).toBe(204);
    expect((await login(user.email, NEW_PASSWORD)).status).toBe(200);
  });

  test('S053 lifts the lock of the account and still signs nobody in', async () => {
    const user = await auth.user();
    const from = elsewhere(auth);
    for (let n = 0; n < 12; n++)
      await from.post('/api/auth/login', { email: user.email, password: 'wrong, all wrong' });
    await forgot(user.email);
    expect(await reset(await linkTo(user.email))).toMatchObject({ status: 204, body: undefined });
    expect((await login(user.email, NEW_PASSWORD)).status).toBe(200);
  });
});

describe('S063 mails to one address', () => {
  test('are three an hour, from however many sources, by whatever endpoint and with whatever tag', async () => {
    const user = await auth.user();
    const [name, domain] = user.email.split('@');
    const tagged = await auth.user({ email: `${name}+news@${domain}` });
    for (let n = 0; n < 30; n++) {
      const email = n % 3 === 2 ? tagged.email : user.email;
      const path = n % 2 === 0 ? 'password/forgot' : 'email/resend';
      expect((await elsewhere(auth).post(`/api/auth/${path}`, { email })).status).toBe(202);
    }
    expect([...(await mailsTo(auth, user.email)), ...(await mailsTo(auth, tagged.email))]).toHaveLength(3);
    auth.clock.advance(3_600_000 + 1000);
    await forgot(user.email);
    expect([...(await mailsTo(auth, user.email)), ...(await mailsTo(auth, tagged.email))]).toHaveLength(4);
  });

  test('S060 a request that is not mailed any more leaves the last link alive', async () => {
    const user = await auth.user();
    for (let n = 0; n < 5; n++) await forgot(user.email);
    expect((await reset(await linkTo(user.email))).status).toBe(204);
  });

  test('of one source are thirty an hour, for whatever addresses', async () => {
    const from = auth.as({ kind: 'anonymous' }, { 'x-forwarded-for': '203.0.113.9' });
    const statuses: number[] = [];
    for (let n = 0; n < 31; n++)
      statuses.push((await from.post('/api/auth/password/forgot', { email: `${randomUUID()}@many.test` })).status);
    expect(statuses).toEqual([...Array(30).fill(202), 429]);
  });
});

test('S059 S061 headers and fields of the request leave no trace in the mail', async () => {
  const user = await auth.user();
  const evil = {
    'x-forwarded-host': 'evil.test',
    forwarded: 'host=evil.test',
    'x-host': 'evil.test',
    'x-original-host': 'evil.test',
    'x-forwarded-proto': 'javascript',
    referer: 'https://evil.test/',
    origin: 'https://evil.test',
  };
  expect((await forgot(user.email, evil)).status).toBe(202);
  // The worker makes the link, of PUBLIC_URL and the token: nothing else is in the job.
  const [mail] = await mailsTo(auth, user.email);
  expect(JSON.stringify(mail)).not.toContain('evil');
  expect(mail?.payload.params).toEqual({ name: 'Uma User' });
  for (const redirect of ['//evil.test', 'https:evil.test', '/\\evil.test', 'javascript:alert(1)', ['/x']]) {
    const answer = await elsewhere(auth).post('/api/auth/password/forgot', { email: user.email, redirect });
    expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
  }
});

test('S004 asking for a link waits for no mail server: the mail is owed in the transaction of the link', async () => {
  const user = await auth.user();
  await forgot(user.email);
  const jobs = await auth.rows(
    `select j.queue, j.dispatched_at, j.secret is not null as sealed from events.jobs j
     join auth.action_tokens t on t.xmin = j.xmin and t.user_id = $1`,
    [user.id],
  );
  expect(jobs).toEqual([{ queue: 'mail', dispatched_at: null, sealed: true }]);
});

test('counts what was asked for, set and refused', async () => {
  const user = await auth.user();
  await forgot(user.email);
  await reset(await linkTo(user.email));
  await reset('not-a-token');
  const metrics = await auth.metrics();
  for (const outcome of ['requested', 'success', 'refused'])
    expect(metrics).toMatch(new RegExp(`auth_password_resets_total\\{[^}]*outcome="${outcome}"[^}]*\\} [1-9]`));
  expect((await auth.events('auth.link_refused.v1')).at(-1)?.data).toEqual({ purpose: 'password_reset' });
});
