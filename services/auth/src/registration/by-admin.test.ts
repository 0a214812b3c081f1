import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

/** An organization of its own, with a member of each role. */
async function organization({ status = 'active' } = {}) {
  const id = randomUUID();
  await auth.rows(
    `insert into org.organizations (id, name, slug, status, created_by) values ($1, 'Zephyrine', $2, $3, $1)`,
    [id, `acme-${id.slice(0, 8)}`, status],
  );
  const member = async (role: string) => {
    const user = await auth.user();
    await auth.rows('insert into org.members (org_id, user_id, role) values ($1, $2, $3)', [id, user.id, role]);
    return auth.as({ kind: 'user', sub: user.id });
  };
  const roles = ['owner', 'admin', 'analyst', 'billing', 'viewer'] as const;
  const members = Object.fromEntries(await Promise.all(roles.map(async (role) => [role, await member(role)] as const)));
  return { id, ...(members as Record<(typeof roles)[number], typeof auth.anonymous>) };
}

const person = (org_id: string, over: Record<string, unknown> = {}) => ({
  email: `${randomUUID()}@new.test`,
  name: 'Vera Viewer',
  password: PASSWORD,
  org_id,
  ...over,
});

const usersOf = async (email: string) =>
  (await auth.rows<{ total: number }>('select count(*)::int as total from auth.users where email = $1', [email]))[0]
    ?.total;

test('an owner or admin makes a viewer of the organization, who can sign in', async () => {
  const org = await organization();
  for (const actor of [org.owner, org.admin]) {
    const body = person(org.id);

    const answer = await actor.post('/api/auth/register', body);

    const { id } = answer.body.user;
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      user: { id, email: body.email, name: 'Vera Viewer', role: 'viewer', org_id: org.id },
    });
    expect(await auth.rows('select role from org.members where user_id = $1', [id])).toEqual([{ role: 'viewer' }]);
    expect(await auth.rows('select role, email_verified_at from auth.users where id = $1', [id])).toEqual([
      { role: 'user', email_verified_at: null },
    ]);
    const login = await auth.anonymous.post('/api/auth/login', { email: body.email, password: PASSWORD });
    expect(login.body.user.role).toBe('user');
    const [registered] = await auth.rows(
      `select org_id from events.outbox where type = 'auth.user_registered.v1' and target_id = $1`,
      [id],
    );
    expect(registered).toEqual({ org_id: org.id });
  }
});

test('S076 analyst, billing and viewer are refused, and so is nobody', async () => {
  const org = await organization();
  const body = person(org.id);
  for (const actor of [org.analyst, org.billing, org.viewer])
    expect(await actor.post('/api/auth/register', body)).toMatchObject({
      status: 403,
      body: { code: 'access.denied' },
    });
  expect((await auth.anonymous.post('/api/auth/register', body)).status).toBe(401);
  expect(await usersOf(body.email)).toBe(0);
  const denied = await auth.events('access.denied.v1');
  expect(denied.filter(({ data }) => data['route'] === '/api/auth/register').length).toBeGreaterThanOrEqual(3);
});

test('S072 an organization that one may not know of does not exist', async () => {
  const a = await organization();
  const b = await organization();
  const body = person(b.id);
  expect(await a.owner.post('/api/auth/register', body)).toMatchObject({
    status: 404,
    body: { code: 'org.not_found' },
  });
  expect((await a.owner.post('/api/auth/register', person(randomUUID()))).status).toBe(404);
  expect(await usersOf(body.email)).toBe(0);
});

test('a platform admin registers into any organization; into a suspended one nobody does', async () => {
  const org = await organization();
  const root = await auth.user({ role: 'admin' });
  const admin = auth.as({ kind: 'user', sub: root.id, role: 'admin' });
  expect((await admin.post('/api/auth/register', person(org.id))).status).toBe(201);

  const suspended = await organization({ status: 'suspended' });
  expect((await suspended.owner.post('/api/auth/register', person(suspended.id))).status).toBe(403);
});

test('S045 a policy of the organization holds here too, and the platform’s', async () => {
  const org = await organization();
  const [owner] = await auth.rows<{ user_id: string }>(
    `select user_id from org.members where org_id = $1 and role = 'owner'`,
    [org.id],
  );
  const sub = owner?.user_id as string;
  const password = auth.as({ kind: 'user', sub, amr: ['pwd'] });
  const late = auth.as({ kind: 'user', sub, auth_time: Math.floor(Date.now() / 1000) - 960 });
  const set = (second_factor: boolean, seconds: number | null) =>
    auth.rows('update org.organizations set require_second_factor = $2, session_max_seconds = $3 where id = $1', [
      org.id,
      second_factor,
      seconds,
    ]);
  const codes = async (body = person(org.id)) =>
    (await Promise.all([password, late, org.viewer].map((one) => one.post('/api/auth/register', body)))).map(
      (answer) => answer.body.code,
    );

  await set(true, 900);
  expect(await codes()).toEqual(['auth.second_factor_required', 'org.session_too_old', 'access.denied']);
  expect(await org.owner.post('/api/auth/register', person(org.id))).toMatchObject({ status: 201 });
  await set(false, null);
  expect(await password.post('/api/auth/register', person(org.id))).toMatchObject({ status: 201 });
  expect(await late.post('/api/auth/register', person(org.id))).toMatchObject({ status: 201 });

  const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'admins' });
  const root = await auth.user({ role: 'admin' });
  const admin = strict.as({ kind: 'user', sub: root.id, role: 'admin', amr: ['pwd'] });
  expect(await admin.post('/api/auth/register', person(org.id))).toMatchObject({
    status: 403,
    body: { code: 'auth.second_factor_required' },
  });
});

test('S023 fields that nobody may choose are refused', async () => {
  const org = await organization();
  for (const field of [
    'role',
    'isAdmin',
    'platform_role',
    'email_verified',
    'mfa_enabled',
    'locked_until',
    'id',
    'created_at',
  ]) {
    const body = person(org.id, { [field]: 'admin' });
    const answer = await org.owner.post('/api/auth/register', body);
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: `/${field}` }] } });
    expect(await usersOf(body.email)).toBe(0);
  }
});

test('S006 S008 S018 what must not be stored or is too weak is refused with the reason', async () => {
  const org = await organization();
  const bad: [Record<string, unknown>, string][] = [
    [{ name: 'a\u0000b' }, '/name'],
    [{ name: 'a\ud800b' }, '/name'],
    [{ name: 'a\r\nBcc: x@y.test' }, '/name'],
    [{ name: '   ' }, '/name'],
    [{ name: 'x'.repeat(101) }, '/name'],
    [{ email: 'x@y.test\r\nBcc: z@y.test' }, '/email'],
    [{ password: 'short' }, '/password'],
    [{ password: 'password1234567' }, '/password'],
    [{ password: `${PASSWORD}\u0000` }, '/password'],
    [{ password: 'k9 vR!'.repeat(22) }, '/password'],
    [{ password: 'zephyrine20262' }, '/password'],
    [{ email: 'vera.viewer@new.test', password: 'vera.viewer@new.test' }, '/password'],
    [{ org_id: 'acme' }, '/org_id'],
  ];
  for (const [over, pointer] of bad) {
    const answer = await org.owner.post('/api/auth/register', person(org.id, over));
    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  }
});

test('S005 S007 the password is taken whole and in any composition', async () => {
  const org = await organization();
  const long = person(org.id, { password: `${'a'.repeat(72)}X` });
  const accented = person(org.id, { password: 'un caf\u00e9 sans sucre' });
  for (const body of [long, accented]) expect((await org.owner.post('/api/auth/register', body)).status).toBe(201);
  const login = async (email: string, password: string) =>
    (await auth.anonymous.post('/api/auth/login', { email, password })).status;
  expect(await login(long.email, `${'a'.repeat(72)}Y`)).toBe(401);
  expect(await login(accented.email, 'un cafe\u0301 sans sucre')).toBe(200);
  expect(await login(accented.email, ' un caf\u00e9 sans sucre')).toBe(401);
});

describe('an address that has an account', () => {
  test('is refused to the administrator, in every spelling, and recorded without the address', async () => {
    const org = await organization();
    const first = person(org.id);
    await org.owner.post('/api/auth/register', first);

    const answer = await org.owner.post('/api/auth/register', { ...first, email: ` ${first.email.toUpperCase()} ` });

    expect(answer).toMatchObject({ status: 409, body: { code: 'auth.account_taken' } });
    const refused = (await auth.events('auth.registration_refused.v1')).at(-1);
    expect(refused?.data).toMatchObject({ reason: 'address_taken' });
    expect(JSON.stringify(refused)).not.toContain(first.email);
  });

  // Tried with a plain index instead of the unique one: twenty accounts.
  test('S015 of twenty at one instant one is made, with one membership', async () => {
    const org = await organization();
    const body = person(org.id);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        org.owner.post('/api/auth/register', { ...body, email: n % 2 ? body.email : body.email.toUpperCase() }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)]);
    expect(await usersOf(body.email)).toBe(1);
    expect(await auth.rows('select count(*)::int as total from org.members where org_id = $1', [org.id])).toEqual([
      { total: 6 },
    ]);
  });
});

test('S128 the same Idempotency-Key makes one account and answers the same; with another body it is refused', async () => {
  const org = await organization();
  const body = person(org.id);
  const send = (over = {}) => org.owner.post('/api/auth/register', { ...body, ...over }, { 'idempotency-key': 'k1' });
  const first = await send();
  expect(await send()).toMatchObject({ status: 201, body: first.body });
  expect((await send({ name: 'Another' })).status).toBe(422);
  expect(await usersOf(body.email)).toBe(1);
});
