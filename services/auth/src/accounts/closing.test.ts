import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { elsewhere, mailsTo, tokenSentTo } from '../mails/testing.ts';
import { type AuthUnderTest, isActive, PASSWORD, signedIn, startAuth } from '../testing.ts';

const DAY_MS = 86_400_000;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

const login = (email: string) => elsewhere(auth).post('/api/auth/login', { email, password: PASSWORD });
const restore = (token: string) => elsewhere(auth).post('/api/auth/restore', { token });
const linkTo = (email: string) => tokenSentTo(auth, email, 'account-closing');
const cleanUp = (days: number) =>
  auth.database
    .pool('worker')
    .pg.query('select auth.cleanup_accounts($1)', [new Date(auth.clock().getTime() + days * DAY_MS)]);

async function organization(owners: string[], others: string[] = []): Promise<string> {
  const id = randomUUID();
  await auth.rows(
    `insert into org.organizations (id, name, slug, status, created_by) values ($1, 'Acme', $2, 'active', $1)`,
    [id, `acme-${id.slice(0, 8)}`],
  );
  for (const [role, users] of [
    ['owner', owners],
    ['viewer', others],
  ] as const)
    for (const user of users)
      await auth.rows('insert into org.members (org_id, user_id, role) values ($1, $2, $3)', [id, user, role]);
  return id;
}

test('a closed account is shut at once, and its owner gets a link that keeps it', async () => {
  const { user, session, token } = await signedIn(auth);

  const answer = await session.delete('/api/auth/me');

  const due = new Date(auth.clock().getTime() + 14 * DAY_MS).toISOString();
  expect(answer).toMatchObject({ status: 202, body: { deletion_due_at: due } });
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: token })).status).toBe(401);
  expect((await login(user.email)).status).toBe(401);
  await elsewhere(auth).post('/api/auth/password/forgot', { email: user.email });
  expect((await mailsTo(auth, user.email)).map(({ payload }) => payload.template)).toEqual(['account-closing']);
  await cleanUp(13.9);

  expect((await restore(await linkTo(user.email))).status).toBe(204);

  expect((await login(user.email)).status).toBe(200);
  expect(await isActive(auth, session.session_id)).toBe(false);
  expect((await restore(await linkTo(user.email))).status).toBe(400);
  await cleanUp(60);
  expect((await login(user.email)).status).toBe(200);
  const kinds = await auth.rows(
    `select type from events.outbox where target_id = $1 and type like 'auth.account%' order by position`,
    [user.id],
  );
  expect(kinds).toEqual([{ type: 'auth.account_closing.v1' }, { type: 'auth.account_restored.v1' }]);
});

test('who is the only owner of an organization with others, or the last administrator, stays', async () => {
  const { user, session } = await signedIn(auth);
  const other = await auth.user();
  const id = await organization([user.id], [other.id]);
  expect(await session.delete('/api/auth/me')).toMatchObject({ status: 409, body: { code: 'org.last_owner' } });
  await auth.rows(`update org.members set role = 'owner' where org_id = $1`, [id]);
  expect((await session.delete('/api/auth/me')).status).toBe(202);

  const admin = await signedIn(auth, 'admin');
  expect(await admin.session.delete('/api/auth/me')).toMatchObject({ status: 409, body: { code: 'auth.last_admin' } });
  const refused = (await auth.events('auth.account_closing_refused.v1')).map(({ data }) => data['reason']);
  expect(refused).toEqual(['last_owner', 'last_admin']);
});

// Seen to fail without the lock on the administrators' rows: both went.
test('of two administrators who close their accounts at one instant one stays', async () => {
  await auth.rows(`update auth.users set role = 'user' where role = 'admin'`);
  for (let round = 0; round < 5; round++) {
    const admins = [await signedIn(auth, 'admin'), await signedIn(auth, 'admin')];
    const answers = await Promise.all(admins.map(({ session }) => session.delete('/api/auth/me')));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
    await auth.rows(`update auth.users set role = 'user' where role = 'admin'`);
  }
});

describe('a deleted account', () => {
  test('is a row without a person, and nothing old comes alive when its address is used again', async () => {
    const { user, session, token } = await signedIn(auth);
    const member = await organization([(await auth.user()).id], [user.id]);
    await elsewhere(auth).post('/api/auth/password/forgot', { email: user.email });
    const reset = await tokenSentTo(auth, user.email, 'password-reset');
    await session.delete('/api/auth/me');
    const restoring = await linkTo(user.email);

    await cleanUp(14.1);

    const [row] = await auth.rows('select * from auth.users where id = $1', [user.id]);
    expect(row).toMatchObject({
      status: 'deleted',
      email: `deleted-${user.id}@invalid`,
      name: 'Deleted',
      password_hash: null,
    });
    expect(JSON.stringify(row)).not.toMatch(/Uma|users\.test/);
    for (const { referring } of await referringTables())
      expect({ referring, rows: await auth.rows(`select 1 from ${referring} where user_id = $1`, [user.id]) }).toEqual({
        referring,
        rows: [],
      });
    expect(await auth.rows('select 1 from org.members where user_id = $1', [user.id])).toEqual([]);
    expect((await auth.events('auth.account_deleted.v1')).at(-1)?.data).toEqual({ user_id: user.id });

    await elsewhere(auth).post('/api/auth/register', { email: user.email, name: 'Somebody Else', password: PASSWORD });
    const verify = await tokenSentTo(auth, user.email, 'verify-address');
    expect((await elsewhere(auth).post('/api/auth/email/verify', { token: verify })).status).toBe(204);
    const again = await login(user.email);
    expect(again.body.user.id).not.toBe(user.id);
    expect(await isActive(auth, session.session_id)).toBe(false);
    expect((await elsewhere(auth).post('/api/auth/refresh', { refresh_token: token })).status).toBe(401);
    expect((await restore(restoring)).status).toBe(400);
    const body = { token: reset, new_password: 'quiet lamps over a narrow river' };
    expect((await elsewhere(auth).post('/api/auth/password/reset', body)).status).toBe(400);
    expect((await session.get('/api/auth/me')).status).toBe(401);
    const members = await auth.rows('select user_id from org.members where org_id = $1', [member]);
    expect(members).not.toContainEqual({ user_id: again.body.user.id });
  });

  test('that was to be the only owner leaves its organization with another, and one failure keeps no other back', async () => {
    const [first, second] = [await signedIn(auth), await signedIn(auth)];
    const heir = await auth.user();
    const id = await organization([first.user.id, heir.id]);
    for (const { session } of [first, second]) expect((await session.delete('/api/auth/me')).status).toBe(202);
    await auth.rows(`delete from org.members where org_id = $1 and user_id = $2`, [id, heir.id]);
    await cleanUp(15);
    const left = await auth.rows(`select status from auth.users where id = any($1)`, [[first.user.id, second.user.id]]);
    expect(left).toEqual([{ status: 'deleted' }, { status: 'deleted' }]);
  });

  test('every table of auth that names a user refers to the account, so that nothing of it is forgotten', async () => {
    const naming = await auth.rows<{ referring: string }>(
      `select format('auth.%I', table_name) as referring from information_schema.columns
       where table_schema = 'auth' and column_name = 'user_id' and table_name <> 'bootstrap' order by 1`,
    );
    expect(naming).toEqual(await referringTables());
  });
});

const referringTables = () =>
  auth.rows<{ referring: string }>(
    `select distinct c.conrelid::regclass::text as referring from pg_constraint c
     where c.contype = 'f' and c.confrelid = 'auth.users'::regclass order by 1`,
  );
