import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo as owedTo, shapeOf } from '../mails/testing.ts';
import { type AuthUnderTest, PASSWORD, sessionOf, startAuth } from '../testing.ts';

const OTHER_PASSWORD = 'quiet lamps over a narrow river';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const address = () => `${randomUUID()}@open.test`;
let network = 0;
/** From a network of its own, so that the network's budget is not what is tested. */
const register = (email: string, password: string = PASSWORD) =>
  auth
    .as({ kind: 'anonymous' }, { 'x-forwarded-for': `10.${network++ % 200}.0.1` })
    .post('/api/auth/register', { email, name: 'Olga Open', password });
const login = (email: string, password: string = PASSWORD) =>
  auth.anonymous.post('/api/auth/login', { email, password });
const verify = (token: string) => auth.anonymous.post('/api/auth/email/verify', { token });

const mailsTo = (email: string) => owedTo(auth, email);
async function tokensSentTo(email: string): Promise<string[]> {
  return (await mailsTo(email)).flatMap(({ secret }) => secret ?? []);
}

test('registers whoever asks, who becomes a user with the token from the mail', async () => {
  const email = address();

  const answer = await register(email);

  expect(answer).toMatchObject({ status: 202, body: { status: 'mail_sent' } });
  expect((await login(email)).body.user.role).toBe('guest');
  const [mail] = await mailsTo(email);
  expect(mail?.payload).toMatchObject({ template: 'verify-address', params: { name: 'Olga Open' } });
  const [token = ''] = await tokensSentTo(email);
  expect((await verify(token)).status).toBe(204);
  expect((await login(email)).body.user.role).toBe('user');
  const me = await sessionOf(auth, await login(email)).get('/api/auth/me');
  expect(me.body.email_verified).toBe(true);
});

test.each(["o'hara+news", 'a!b', '_', 'x/y=z'])('an address with the unusual name %s gets its mail', async (name) => {
  const email = `${name}@${randomUUID()}.test`;

  expect((await register(email)).status).toBe(202);

  expect((await mailsTo(email)).map(({ payload }) => payload.to)).toEqual([email]);
});

test('S001 a known address gets the same answer, no account, and its owner a mail', async () => {
  const user = await auth.user();
  const fresh = await register(address());

  const known = await register(user.email, OTHER_PASSWORD);

  expect(shapeOf(known)).toEqual(shapeOf(fresh));
  expect(await auth.rows('select id from auth.users where email = $1', [user.email])).toEqual([{ id: user.id }]);
  expect((await mailsTo(user.email)).map(({ payload }) => payload)).toEqual([
    { template: 'address-taken', to: user.email, params: { name: 'Uma User' } },
  ]);
  expect((await login(user.email, OTHER_PASSWORD)).body.user.role).toBe('guest');
  expect((await login(user.email)).body.user).toMatchObject({ id: user.id, role: 'user' });
});

test('S001 S021 before the address is confirmed a wrong password gets the answer of any, and the claim has none', async () => {
  const email = address();
  await register(email);
  const known = await auth.user();

  const unconfirmed = await login(email, OTHER_PASSWORD);

  expect(unconfirmed.status).toBe(401);
  expect(shapeOf(unconfirmed)).toEqual(shapeOf(await login(known.email, OTHER_PASSWORD)));
  expect(shapeOf(unconfirmed)).toEqual(shapeOf(await login(address())));
  expect(await auth.rows('select password_hash from auth.users where email = $1', [email])).toEqual([
    { password_hash: null },
  ]);
});

test('S021 who registers an address first gains nothing when its owner confirms it', async () => {
  const email = address();
  await register(email, OTHER_PASSWORD);
  await register(email, PASSWORD);
  const [attackers = '', owners = ''] = await tokensSentTo(email);

  expect((await verify(owners)).status).toBe(204);

  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
  expect((await login(email)).status).toBe(200);
  expect((await verify(attackers)).status).toBe(400);
});

describe('another mail to confirm an address', () => {
  const resend = (email: string) => elsewhere(auth).post('/api/auth/email/resend', { email });

  test('carries the registration, and either link confirms it', async () => {
    for (const used of [0, 1]) {
      const email = address();
      await register(email);
      expect(await resend(email)).toMatchObject({ status: 202, body: { status: 'mail_sent' } });
      const tokens = await tokensSentTo(email);
      expect(tokens).toHaveLength(2);
      expect((await verify(tokens[used] ?? '')).status).toBe(204);
      expect((await login(email)).status).toBe(200);
      expect((await verify(tokens[1 - used] ?? '')).status).toBe(400);
    }
  });

  test('is still to be had when the first link has run out', async () => {
    const email = address();
    await register(email);
    auth.clock.advance(2 * 3_600_000);
    await resend(email);
    const [late = '', fresh = ''] = await tokensSentTo(email);
    expect((await verify(late)).status).toBe(400);
    expect((await verify(fresh)).status).toBe(204);
    expect((await login(email)).status).toBe(200);
  });

  test('S021 asks for a new password where two have registered the address', async () => {
    const email = address();
    await register(email);
    await register(email, OTHER_PASSWORD);
    await resend(email);
    const mails = await mailsTo(email);
    expect(mails.map(({ payload }) => payload.template)).toEqual([
      'verify-address',
      'verify-address',
      'password-reset',
    ]);
    const reset = await auth.anonymous.post('/api/auth/password/reset', {
      token: mails[2]?.secret,
      new_password: 'seven green boats at anchor',
    });
    expect(reset.status).toBe(204);
    expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
    expect((await login(email)).status).toBe(401);
    expect((await login(email, 'seven green boats at anchor')).body.user.role).toBe('user');
    for (const { secret } of mails.slice(0, 2)) expect((await verify(secret ?? '')).status).toBe(400);
  });

  test('confirms an account that was made otherwise, keeps its password and makes a guest a user', async () => {
    const guest = await auth.user({ role: 'guest' });
    const session = sessionOf(auth, await login(guest.email));
    await resend(guest.email);
    const [token = ''] = await tokensSentTo(guest.email);
    expect((await verify(token)).status).toBe(204);
    expect((await verify(token)).status).toBe(400);
    expect((await login(guest.email)).body.user.role).toBe('user');
    const fact = await auth.as({ kind: 'service', sub: 'gateway' }).get(`/internal/sessions/${session.session_id}`);
    expect(fact.body.active).toBe(false);
  });

  test('S001 S063 looks the same for every address and sends nothing to one that needs none', async () => {
    const verified = await auth.user();
    await auth.rows('update auth.users set email_verified_at = now() where id = $1', [verified.id]);
    const disabled = await auth.user({ status: 'disabled' });
    const pending = address();
    await register(pending);
    const answers = [pending, verified.email, disabled.email, address()].map(async (email) =>
      shapeOf(await resend(email)),
    );
    const [first, ...others] = await Promise.all(answers);
    for (const other of others) expect(other).toEqual(first);
    expect(await mailsTo(verified.email)).toEqual([]);
    expect(await mailsTo(disabled.email)).toEqual([]);
  });
});

test('S066 a token is good once, for half an hour, and for the address it was sent to', async () => {
  const email = address();
  await register(email);
  const [token = ''] = await tokensSentTo(email);
  expect((await verify(`${token.slice(0, -1)}_`)).status).toBe(400);
  const all = await Promise.all(Array.from({ length: 10 }, () => verify(token)));
  expect(all.map(({ status }) => status).sort()).toEqual([204, ...Array(9).fill(400)]);

  const late = address();
  await register(late);
  const [lateToken = ''] = await tokensSentTo(late);
  auth.clock.advance(30 * 60_000 + 1000);
  expect(await verify(lateToken)).toMatchObject({ status: 400, body: { code: 'auth.token_refused' } });

  const moved = address();
  await register(moved);
  const [movedToken = ''] = await tokensSentTo(moved);
  await auth.rows('update auth.users set email = $1 where email = $2', [address(), moved]);
  expect((await verify(movedToken)).status).toBe(400);
});

test('S015 another spelling of a known address is that address', async () => {
  const user = await auth.user();
  const fresh = shapeOf(await register(address()));
  const [name, domain] = user.email.split('@');
  for (const spelling of [user.email.toUpperCase(), `  ${user.email} `, `${name}@${domain?.toUpperCase()}`])
    expect(shapeOf(await register(spelling, OTHER_PASSWORD))).toEqual(fresh);
  expect(await auth.rows('select 1 from auth.users where lower(btrim(email)) = $1', [user.email])).toHaveLength(1);
  expect((await login(user.email, OTHER_PASSWORD)).body.user.role).toBe('guest');
});

test('S018 S006 what is no address or no name is refused', async () => {
  const send = (over: Record<string, unknown>) =>
    elsewhere(auth).post('/api/auth/register', { email: address(), name: 'N', password: PASSWORD, ...over });
  for (const over of [
    { email: 'x@y.test\r\nBcc: z@y.test' },
    { email: 'x\u0000@y.test' },
    { name: 'a\r\nBcc: z@y.test' },
    { name: 'a\u0000' },
    { name: 'a\ud800' },
    { password: 'a good one \u0000 indeed' },
  ])
    expect((await send(over)).status).toBe(400);
  // Text is text: the mail's templates escape it.
  const email = address();
  const name = `<a href=//evil>{{7*7}} ${'$'}{7*7}`;
  expect((await send({ email, name })).status).toBe(202);
  expect((await mailsTo(email))[0]?.payload).toMatchObject({ to: email, params: { name } });
});

test('S015 of twenty at one instant one account is made, and all get the same answer', async () => {
  const email = address();
  const answers = await Promise.all(Array.from({ length: 20 }, () => register(email)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  expect(await auth.rows('select count(*)::int as total from auth.users where email = $1', [email])).toEqual([
    { total: 1 },
  ]);
});

test('S063 an address gets three mails an hour at most, whatever the answer says', async () => {
  const email = address();
  for (let n = 0; n < 6; n++) expect((await register(email)).status).toBe(202);
  expect(await mailsTo(email)).toHaveLength(3);
});

test('one source registers thirty an hour at most', async () => {
  const from = auth.as({ kind: 'anonymous' }, { 'x-forwarded-for': '203.0.113.5' });
  const statuses: number[] = [];
  for (let n = 0; n < 31; n++)
    statuses.push((await from.post('/api/auth/register', { email: address(), name: 'N', password: PASSWORD })).status);
  expect(statuses).toEqual([...Array(30).fill(202), 429]);
  const refused = await auth.events('auth.registration_refused.v1');
  expect(refused.at(-1)?.data).toMatchObject({ reason: 'throttled' });
});

test('a guest reads and signs out, and changes nothing', async () => {
  const { email } = await auth.user({ role: 'guest' });
  const guest = sessionOf(auth, await login(email));
  expect((await guest.get('/api/auth/me')).status).toBe(200);
  expect((await guest.patch('/api/auth/me', { name: 'Other' })).status).toBe(403);
  expect((await guest.post('/api/auth/email/change', { new_email: address() })).status).toBe(403);
  expect((await guest.post('/api/auth/logout')).status).toBe(204);
});

test('a registration that nobody confirms is gone after seven days, and an unconfirmed account is not', async () => {
  const email = address();
  await register(email);
  const guest = await auth.user({ role: 'guest' });
  const clean = async (days: number) => {
    const now = new Date(auth.clock().getTime() + days * 86_400_000);
    await auth.database.pool('worker').pg.query('select auth.cleanup_accounts($1)', [now]);
  };
  const left = () =>
    auth.rows('select email from auth.users where email = any($1) order by email', [[email, guest.email]]);
  await clean(6.9);
  expect(await left()).toHaveLength(2);
  await clean(7.1);
  expect(await left()).toEqual([{ email: guest.email }]);
  expect((await register(email)).status).toBe(202);
});

test('no token lies anywhere in the clear', async () => {
  const email = address();
  await register(email);
  const [token = ''] = await tokensSentTo(email);
  const everything = JSON.stringify([
    await auth.rows(`select encode(token_hash, 'base64') as hash from auth.email_verifications`),
    await auth.rows("select payload, encode(secret, 'escape') as secret from events.jobs"),
    await auth.rows('select data, actor from events.outbox'),
  ]);
  expect(everything).not.toContain(token);
});

test('S023 fields that nobody may choose are refused', async () => {
  for (const field of ['role', 'org_id', 'email_verified']) {
    const body = { email: address(), name: 'N', password: PASSWORD, [field]: 'x' };
    expect((await auth.anonymous.post('/api/auth/register', body)).status).toBe(400);
  }
});

test('in the mode invite registration needs an invitation', async () => {
  const invited = await auth.another({ REGISTRATION_MODE: 'invite' });
  const answer = await invited.anonymous.post('/api/auth/register', {
    email: address(),
    name: 'N',
    password: PASSWORD,
  });
  expect(answer).toMatchObject({ status: 403, body: { code: 'registration.invitation_required' } });
});
