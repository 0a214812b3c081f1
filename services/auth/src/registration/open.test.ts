import { randomUUID } from 'node:crypto';
import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { open } from '@gatehouse/kit/crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
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

interface MailJob {
  payload: { template: string; to: string; params: { name: string }; expires_at?: string };
  secret: Buffer | null;
}
const mailsTo = (email: string) =>
  auth.rows<MailJob>(`select payload, secret from events.jobs where payload->>'to' = $1 order by created_at, id`, [
    email,
  ]);
async function tokensSentTo(email: string): Promise<string[]> {
  const mails = await mailsTo(email);
  return mails.flatMap(({ secret }) =>
    secret ? [open(auth.deps.secrets.mail, secret, MAIL_SECRET.aad).toString()] : [],
  );
}

test('registers a guest, who becomes a user with the token from the mail', async () => {
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

test('S001 a known address gets the same answer, no row, and its owner a mail', async () => {
  const user = await auth.user();
  const before = await auth.rows('select count(*) from auth.users');
  const fresh = await register(address());

  const known = await register(user.email, OTHER_PASSWORD);

  const shape = ({ status, body, headers }: typeof known) => ({ status, body, names: [...headers.keys()].sort() });
  expect(shape(known)).toEqual(shape(fresh));
  expect(await auth.rows('select count(*)::int - 1 as total from auth.users')).toEqual([
    { total: Number((before[0] as { count: unknown }).count) },
  ]);
  expect((await mailsTo(user.email)).map(({ payload }) => payload)).toEqual([
    { template: 'address-taken', to: user.email, params: { name: 'Uma User' } },
  ]);
  expect((await login(user.email, OTHER_PASSWORD)).status).toBe(401);
  expect((await login(user.email)).status).toBe(200);
});

test('S021 who registers an address first gains nothing when its owner confirms it', async () => {
  const email = address();
  await register(email, OTHER_PASSWORD);
  const attacker = sessionOf(auth, await login(email, OTHER_PASSWORD));
  await register(email, PASSWORD);
  const [attackers = '', owners = ''] = await tokensSentTo(email);

  expect((await verify(owners)).status).toBe(204);

  expect((await login(email, OTHER_PASSWORD)).status).toBe(401);
  expect((await login(email)).status).toBe(200);
  const fact = await auth.as({ kind: 'service', sub: 'gateway' }).get(`/internal/sessions/${attacker.session_id}`);
  expect(fact.body.active).toBe(false);
  expect((await verify(attackers)).status).toBe(400);
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
  const email = address();
  await register(email);
  const guest = sessionOf(auth, await login(email));
  expect((await guest.get('/api/auth/me')).status).toBe(200);
  expect((await guest.patch('/api/auth/me', { name: 'Other' })).status).toBe(403);
  expect((await guest.post('/api/auth/logout')).status).toBe(204);
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
