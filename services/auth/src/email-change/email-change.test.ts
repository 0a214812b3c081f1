import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo, shapeOf, templatesTo, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, isActive, PASSWORD, signedIn, signedInAgain, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const address = () => `${randomUUID()}@moved.test`;
const PATH = '/api/auth/email/change';
const confirm = (token: string) => elsewhere(auth).post(`${PATH}/confirm`, { token });
const linkTo = (email: string) => tokenSentTo(auth, email, 'email-change');
const login = (email: string) => elsewhere(auth).post('/api/auth/login', { email, password: PASSWORD });

async function asked() {
  const who = await signedIn(auth);
  const to = address();
  const answer = await who.session.post(PATH, { new_email: to });
  expect(answer).toMatchObject({ status: 202, body: { status: 'mail_sent' } });
  return { ...who, to };
}

describe('S064 a change of address', () => {
  test.each([
    ['old', 'new'],
    ['new', 'old'],
  ])('counts when the %s and then the %s address have confirmed, and not before', async (first) => {
    const { user, session, to } = await asked();
    const other = await signedInAgain(auth, user);
    const links = { old: await linkTo(user.email), new: await linkTo(to) };
    const [one, two] = first === 'old' ? [links.old, links.new] : [links.new, links.old];

    expect(await confirm(one)).toMatchObject({ status: 200, body: { status: 'waiting' } });
    expect((await login(to)).status).toBe(401);
    expect((await session.get('/api/auth/me')).body).toMatchObject({
      email: user.email,
      pending_email: {
        new_email: `${to.slice(0, 1)}***@moved.test`,
        old_confirmed: first === 'old',
        new_confirmed: first === 'new',
      },
    });
    expect((await confirm(one)).status).toBe(400);
    expect(await confirm(two)).toMatchObject({ status: 200, body: { status: 'changed' } });

    expect((await login(user.email)).status).toBe(401);
    expect((await login(to)).status).toBe(200);
    expect((await session.get('/api/auth/me')).body).toMatchObject({
      email: to,
      email_verified: true,
      pending_email: null,
    });
    expect(await isActive(auth, session.session_id)).toBe(true);
    expect(await isActive(auth, other.session.session_id)).toBe(false);
    const told = (await mailsTo(auth, user.email)).at(-1)?.payload;
    expect(told).toMatchObject({ template: 'email-changed', params: { new_email: `${to.slice(0, 1)}***@moved.test` } });
  });

  test('tells the old address no more of the new one than its owner knows', async () => {
    const { user, to } = await asked();
    const [mail] = await mailsTo(auth, user.email);
    expect(JSON.stringify(mail?.payload)).not.toContain(to);
    expect((await mailsTo(auth, to))[0]?.payload).toMatchObject({ params: { side: 'new', new_email: to } });
    const told = JSON.stringify(await auth.rows(`select data from events.outbox where type like 'auth.email_change%'`));
    expect(told).not.toContain(to);
  });

  test('a newer wish replaces the older one, whose links are dead', async () => {
    const { user, session, to } = await asked();
    const old = { old: await linkTo(user.email), new: await linkTo(to) };
    expect((await confirm(old.new)).body.status).toBe('waiting');
    const next = address();
    await session.post(PATH, { new_email: next });
    for (const token of Object.values(old)) expect((await confirm(token)).status).toBe(400);
    expect((await confirm(await linkTo(user.email))).body.status).toBe('waiting');
    expect((await confirm(await linkTo(next))).body.status).toBe('changed');
    expect((await login(next)).status).toBe(200);
    expect((await login(to)).status).toBe(401);
  });

  test('of two accounts that want the same address one gets it, and the other is told only when it confirms', async () => {
    const to = address();
    const [a, b] = [await signedIn(auth), await signedIn(auth)];
    await a.session.post(PATH, { new_email: to });
    const forA = [await linkTo(a.user.email), await linkTo(to)];
    await b.session.post(PATH, { new_email: to });
    const forB = [await linkTo(b.user.email), await linkTo(to)];
    await Promise.all([confirm(forA[0] ?? ''), confirm(forB[0] ?? '')]);

    const answers = await Promise.all([confirm(forA[1] ?? ''), confirm(forB[1] ?? '')]);

    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe('auth.account_taken');
    expect(await auth.rows('select 1 from auth.users where email = $1', [to])).toHaveLength(1);
    expect((await auth.events('auth.email_change_refused.v1')).at(-1)?.data).toMatchObject({ reason: 'address_taken' });
    const left = await auth.rows('select 1 from auth.email_changes where user_id = any($1)', [[a.user.id, b.user.id]]);
    expect(left).toEqual([]);
  });

  test('S001 an address that somebody has gets the same answer, and its owner a mail', async () => {
    const owner = await auth.user();
    const free = await asked();
    const { user, session } = await signedIn(auth);

    const answer = await session.post(PATH, { new_email: owner.email });

    expect(shapeOf(answer)).toEqual(shapeOf(await free.session.post(PATH, { new_email: address() })));
    expect(await templatesTo(auth, owner.email)).toEqual(['address-taken']);
    expect(await templatesTo(auth, user.email)).toEqual(['email-change']);
    expect((await session.get('/api/auth/me')).body.pending_email).not.toBeNull();
    expect((await confirm(await linkTo(user.email))).body).toEqual({ status: 'waiting' });
  });

  test('a registration that nobody confirmed keeps nobody from the own address', async () => {
    const to = address();
    await elsewhere(auth).post('/api/auth/register', { email: to, name: 'Mallory', password: PASSWORD });
    const squatters = await tokenSentTo(auth, to, 'verify-address');
    const { user, session } = await signedIn(auth);
    await session.post(PATH, { new_email: to });
    await confirm(await linkTo(user.email));
    expect((await confirm(await linkTo(to))).body.status).toBe('changed');
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: squatters })).status).toBe(400);
    expect((await login(to)).body.user.id).toBe(user.id);
  });

  test('is over after half an hour, when it is given up, and when the password changes', async () => {
    const late = await asked();
    const links = [await linkTo(late.user.email), await linkTo(late.to)];
    await confirm(links[0] ?? '');
    auth.clock.advance(30 * 60_000 + 1000);
    expect((await confirm(links[1] ?? '')).status).toBe(400);
    expect((await late.session.get('/api/auth/me')).body.pending_email).toBeNull();

    const dropped = await asked();
    expect((await dropped.session.delete(PATH)).status).toBe(204);
    expect((await dropped.session.delete(PATH)).status).toBe(204);
    expect((await confirm(await linkTo(dropped.to))).status).toBe(400);

    const safe = await asked();
    const change = { current_password: PASSWORD, new_password: 'quiet lamps over a narrow river' };
    expect((await safe.session.post('/api/auth/password/change', change)).status).toBe(204);
    for (const email of [safe.user.email, safe.to]) expect((await confirm(await linkTo(email))).status).toBe(400);
  });

  test('makes links that were sent to the old address useless', async () => {
    const { user, to } = await asked();
    await elsewhere(auth).post('/api/auth/password/forgot', { email: user.email });
    const reset = await tokenSentTo(auth, user.email, 'password-reset');
    await confirm(await linkTo(user.email));
    await confirm(await linkTo(to));
    const body = { token: reset, new_password: 'quiet lamps over a narrow river' };
    expect((await elsewhere(auth).post('/api/auth/password/reset', body)).status).toBe(400);
  });

  test('S063 sends three mails an hour to an address, five wishes of a user, and none to the own one', async () => {
    const { user, session } = await signedIn(auth);
    const to = address();
    const statuses: number[] = [];
    for (let n = 0; n < 6; n++) statuses.push((await session.post(PATH, { new_email: to })).status);
    expect(statuses).toEqual([202, 202, 202, 202, 202, 429]);
    expect(await mailsTo(auth, to)).toHaveLength(3);
    const { session: other, user: same } = await signedIn(auth);
    expect((await other.post(PATH, { new_email: ` ${same.email.toUpperCase()} ` })).status).toBe(400);
    expect(await mailsTo(auth, same.email)).toEqual([]);
    expect(user.email).not.toBe(same.email);
  });

  // Seen to fail without the look at the session under the lock: the change was there after the reset.
  test('S021 is not begun by a session that was ended while it waited', async () => {
    const { user, session } = await signedIn(auth);
    const owner = await auth.database.pool('admin').pg.connect();
    await owner.query('begin');
    await owner.query('select 1 from auth.users where id = $1 for no key update', [user.id]);
    const late = session.post(PATH, { new_email: address() });
    for (let waiting = 0; waiting === 0; )
      waiting =
        (
          await auth.rows<{ n: number }>(
            `select count(*)::int as n from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'`,
          )
        )[0]?.n ?? 0;
    await owner.query(`update auth.sessions set ended_at = now(), end_reason = 'password_reset' where user_id = $1`, [
      user.id,
    ]);
    await owner.query('commit');
    owner.release();
    expect((await late).status).toBe(401);
    expect(await auth.rows('select 1 from auth.email_changes where user_id = $1', [user.id])).toEqual([]);
  });
});
