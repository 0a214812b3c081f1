import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { person, login as signIn, withTotp } from '../factors/test-factors.ts';
import { elsewhere, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

const NEW_PASSWORD = 'quiet lamps over a narrow river';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const forgot = (email: string) => elsewhere(auth).post('/api/auth/password/forgot', { email });
const reset = async (email: string, new_password: string) =>
  elsewhere(auth).post('/api/auth/password/reset', {
    token: await tokenSentTo(auth, email, 'password-reset'),
    new_password,
  });

// Seen to fail without assertOther: what "this was not me" took from a thief came back with the link that replaces it.
test('REC: a password that counts no more is not set again by the link that replaces it', async () => {
  const one = await person(auth);
  await auth.rows('update auth.users set password_reset_required = true where id = $1', [one.id]);
  await forgot(one.email);
  const answer = await reset(one.email, PASSWORD);
  expect(answer).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
  expect(answer.body.errors).toEqual([{ pointer: '/new_password', message: 'is the old one' }]);
  expect((await reset(one.email, NEW_PASSWORD)).status).toBe(204);

  // Who has only forgotten that it was right may keep it.
  await forgot(one.email);
  expect((await reset(one.email, NEW_PASSWORD)).status).toBe(204);
});

// Without the record what was refused to a network left no row, and the metric of it stayed 0.
test('S063 each request for a mail beyond the budget of the network is on record', async () => {
  const network = auth.as({ kind: 'anonymous' }, { 'x-forwarded-for': '198.51.100.9' });
  const refused = (type: string) => auth.events(type).then((all) => all.filter(({ outcome }) => outcome === 'denied'));
  for (let n = 0; n < 30; n++) await network.post('/api/auth/password/forgot', { email: `${n}@nobody.test` });
  expect((await network.post('/api/auth/password/forgot', { email: 'a@nobody.test' })).status).toBe(429);
  expect((await network.post('/api/auth/email/resend', { email: 'a@nobody.test' })).status).toBe(429);
  for (const type of ['auth.password_reset_requested.v1', 'auth.confirmation_requested.v1'])
    expect(await refused(type)).toMatchObject([{ data: { account: expect.any(String), sent: false } }]);
  expect(await auth.metrics()).toContain('auth_password_resets_total{outcome="throttled"} 1');
});

test('S053 the mailbox alone takes over no platform admin, whose address nobody has proved before', async () => {
  const admin = await withTotp(auth, await person(auth, 'admin', false));
  await forgot(admin.email);
  expect((await reset(admin.email, PASSWORD)).status).toBe(204);
  expect((await signIn(auth, admin)).body).toMatchObject({ methods: ['totp', 'recovery'], enrol: [] });
});
