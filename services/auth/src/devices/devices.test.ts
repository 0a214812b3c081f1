import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { open } from '@gatehouse/kit/crypto';
import { transaction } from '@gatehouse/kit/db';
import { eventually } from '@gatehouse/testkit/eventually';
import type { Answer } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, isActive, PASSWORD, sessionOf, startAuth, type TestUser } from '../testing.ts';
import { findDevice, knownDeviceOf, readClient, trustDevice } from './devices.ts';

const DAY_MS = 86_400_000;
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0';
const COOKIE =
  /^__Host-gatehouse_device=([\w-]{43})((?:\.[\w-]{43})*); Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=34560000$/;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

interface From {
  cookie?: string | undefined;
  agent?: string;
  address?: string;
}

/** Signs in as a browser would: with its cookie, its name and its address. */
async function login(
  { email }: Pick<TestUser, 'email'>,
  { cookie, agent = FIREFOX, address = '192.0.2.7' }: From = {},
) {
  const headers = { 'user-agent': agent, 'x-forwarded-for': address, ...(cookie ? { cookie } : {}) };
  const answer = await auth.anonymous.post('/api/auth/login', { email, password: PASSWORD }, headers);
  expect(answer.status).toBe(200);
  return { answer, cookie: cookieOf(answer), session: sessionOf(auth, answer) };
}

const cookieOf = (answer: Answer) =>
  answer.headers
    .getSetCookie()
    .find((one) => one.startsWith('__Host-gatehouse_device='))
    ?.split(';')[0] as string;

async function mailsTo(email: string, template = 'new-device') {
  const jobs = await auth.rows<{
    payload: { params: Record<string, string>; expires_at: string };
    secret: Buffer | null;
  }>(
    `select payload, secret from events.jobs
     where payload ->> 'to' = $1 and payload ->> 'template' = $2 order by created_at`,
    [email, template],
  );
  return jobs.map(({ payload, secret }) => ({
    ...payload,
    token: secret === null ? '' : open(auth.deps.secrets.mail, secret, MAIL_SECRET.aad).toString(),
  }));
}

const notMe = (token: string) => auth.anonymous.post('/api/auth/sessions/not-me', { token });
const devicesOf = async ({ session }: Awaited<ReturnType<typeof login>>) =>
  (await session.get('/api/auth/devices')).body.data;

async function trust(user: TestUser, deviceId: string) {
  const actor = { kind: 'user' as const, user_id: user.id, request_id: '', trace_id: '', address: '', agent: '' };
  await transaction(auth.deps.pool, (tx) => trustDevice(auth.deps, tx, deviceId, actor));
}

describe('a device', () => {
  test('S043 is known by a cookie that no script and no other site sees, of which only a hash is kept', async () => {
    const user = await auth.user();
    const first = await login(user);

    expect(first.answer.headers.getSetCookie()).toEqual([expect.stringMatching(COOKIE)]);
    const secret = first.cookie.split('=')[1] as string;
    const stored = JSON.stringify(await auth.rows('select d.*, encode(d.token_hash, $1) from auth.devices d', ['hex']));
    expect(stored).not.toContain(secret);
    expect(stored).not.toContain(Buffer.from(secret).toString('hex'));

    const again = await login(user, { cookie: first.cookie });
    expect(again.cookie).toBe(first.cookie);
    expect(await devicesOf(again)).toHaveLength(1);
  });

  test('S043 gets an id of its own whatever it brings along', async () => {
    const user = await auth.user();
    const planted = `__Host-gatehouse_device=${'x'.repeat(43)}`;
    const { cookie } = await login(user, { cookie: planted });
    expect(cookie).not.toContain('x'.repeat(43));
    const odd = await login(user, { cookie: '__Host-gatehouse_device=<evil>; other=1' });
    expect(odd.cookie).toMatch(/^__Host-gatehouse_device=[\w-]{43}$/);
  });

  test('is listed with name, address, first and last use, and which one asks', async () => {
    const user = await auth.user();
    const first = await login(user);
    const started = auth.clock.now().toISOString();
    auth.clock.advance(60_000);
    const other = await login(user, { agent: 'curl/8.5.0', address: '198.51.100.4' });

    expect(await devicesOf(other)).toEqual([
      {
        id: expect.any(String),
        name: 'curl',
        address: '198.51.100.4',
        first_used_at: auth.clock.now().toISOString(),
        last_used_at: auth.clock.now().toISOString(),
        trusted_until: null,
        current: true,
      },
      expect.objectContaining({
        name: 'Firefox on Linux',
        first_used_at: started,
        last_used_at: started,
        current: false,
      }),
    ]);
    auth.clock.advance(60_000);
    await auth.anonymous.post('/api/auth/refresh', { refresh_token: first.answer.body.refresh_token });
    const [newest] = await devicesOf(first);
    expect(newest).toMatchObject({ name: 'Firefox on Linux', last_used_at: auth.clock.now().toISOString() });
  });

  test('of one browser serves several accounts, and each only its own', async () => {
    const [ada, ben] = [await auth.user(), await auth.user()];
    const first = await login(ada);
    const second = await login(ben, { cookie: first.cookie });
    const third = await login(ada, { cookie: second.cookie });

    expect(third.cookie.split('.')).toHaveLength(2);
    expect(await devicesOf(third)).toHaveLength(1);
    expect(await devicesOf(second)).toHaveLength(1);
    const client = readClient({ cookie: first.cookie });
    expect(await knownDeviceOf(auth.deps, auth.deps.pool, ada.email, client)).toBeDefined();
    expect(await knownDeviceOf(auth.deps, auth.deps.pool, ben.email, client)).toBeUndefined();
    expect(await findDevice(auth.deps, auth.deps.pool, ben.id, client)).toBeUndefined();
  });

  test('is signed out and forgotten by its user, and by no one else', async () => {
    const user = await auth.user();
    const laptop = await login(user);
    const phone = await login(user, { agent: 'curl/8.5.0' });
    const stranger = await login(await auth.user());
    const lost = (await devicesOf(laptop)).find(({ name }: { name: string }) => name === 'curl');

    expect((await stranger.session.delete(`/api/auth/devices/${lost.id}`)).status).toBe(404);
    expect(await isActive(auth, phone.session.session_id)).toBe(true);
    expect((await laptop.session.delete(`/api/auth/devices/${lost.id}`)).status).toBe(204);

    expect(await isActive(auth, phone.session.session_id)).toBe(false);
    expect(await isActive(auth, laptop.session.session_id)).toBe(true);
    expect((await laptop.session.delete(`/api/auth/devices/${lost.id}`)).status).toBe(404);
    expect(await devicesOf(laptop)).toHaveLength(1);
    const client = readClient({ cookie: phone.cookie });
    expect(await knownDeviceOf(auth.deps, auth.deps.pool, user.email, client)).toBeUndefined();
    expect((await auth.events('auth.device_revoked.v1')).at(-1)?.data).toEqual({
      user_id: user.id,
      device_id: lost.id,
    });
    // Its next sign-in is one from a new device.
    expect((await login(user, { cookie: phone.cookie, agent: 'curl/8.5.0' })).cookie).not.toBe(phone.cookie);
  });

  // Tried without `revoked_at is null` in updateSighting: the session was opened on the device that had just gone.
  test('that is signed out while it signs in is a new one', async () => {
    const user = await auth.user();
    const phone = await login(user);
    const [{ id }] = await devicesOf(phone);
    const revocation = await auth.database.pool('admin').pg.connect();
    try {
      await revocation.query('begin');
      await revocation.query('update auth.devices set revoked_at = now() where id = $1', [id]);
      const entering = login(user, { cookie: phone.cookie });
      await eventually(async () => (await auth.rows('select 1 from pg_locks where not granted')).length > 0);
      await revocation.query('commit');
      const entered = await entering;
      expect(await devicesOf(entered)).toMatchObject([{ current: true }]);
      expect(entered.cookie).not.toBe(phone.cookie);
    } finally {
      revocation.release();
    }
  });

  test('is remembered fifty times for a user at most', async () => {
    const user = await auth.user();
    await auth.rows(
      `insert into auth.devices (id, user_id, token_hash, name, address, network, first_used_at, last_used_at)
       select gen_random_uuid(), $1::uuid, sha256(('x' || n || $1::uuid)::bytea), 'old', '', '', $2::timestamptz - interval '1 day',
         $2::timestamptz - interval '1 day' from generate_series(1, 60) n`,
      [user.id, auth.clock.now()],
    );
    const last = await login(user);
    const devices = await devicesOf(last);
    expect(devices).toHaveLength(50);
    expect(devices[0]).toMatchObject({ current: true });
  });
});

describe('trust', () => {
  test('lasts thirty days, is bound to the cookie and ends with the device', async () => {
    const user = await auth.user();
    const { cookie, session } = await login(user);
    const [device] = (await session.get('/api/auth/devices')).body.data;
    await trust(user, device.id);
    const asked = (one: string) => findDevice(auth.deps, auth.deps.pool, user.id, readClient({ cookie: one }));

    expect(await asked(cookie)).toEqual({ id: device.id, trusted: true });
    // Neither the same browser without the cookie nor another account's cookie.
    const without = await login(user);
    expect(await asked(without.cookie)).toMatchObject({ trusted: false });
    expect(await asked((await login(await auth.user())).cookie)).toBeUndefined();
    expect((await auth.events('auth.device_trusted.v1')).at(-1)?.data).toEqual({
      user_id: user.id,
      device_id: device.id,
    });

    const another = await auth.user();
    await expect(trust(another, device.id)).rejects.toThrow();

    auth.clock.advance(30 * DAY_MS - 1);
    expect(await asked(cookie)).toMatchObject({ trusted: true });
    auth.clock.advance(1);
    expect(await asked(cookie)).toMatchObject({ trusted: false });

    await trust(user, device.id);
    const late = await login(user);
    expect((await late.session.delete(`/api/auth/devices/${device.id}`)).status).toBe(204);
    expect(await asked(cookie)).toBeUndefined();
  });
});

describe('the mail about a new device', () => {
  test('is owed with the session, says from where, and carries a link that only its reader can open', async () => {
    const user = await auth.user();
    await login(user);
    expect(await mailsTo(user.email)).toEqual([]);

    await login(user, { agent: 'curl/8.5.0', address: '203.0.113.9' });

    const [mail, ...more] = await mailsTo(user.email);
    expect(more).toEqual([]);
    expect(mail?.params).toEqual({
      name: 'Uma User',
      device: 'curl',
      address: '203.0.113.9',
      at: auth.clock.now().toISOString(),
    });
    expect(mail?.token).toMatch(/^[\w-]{43}$/);
    const dump = JSON.stringify([
      await auth.rows('select payload, encode(secret, $1) from events.jobs', ['escape']),
      await auth.rows('select t.*, encode(t.token_hash, $1) from auth.action_tokens t', ['escape']),
      await auth.rows('select * from events.outbox'),
    ]);
    expect(dump).not.toContain(mail?.token);
  });

  test.each([
    ['a known device', true, {}, 0],
    ['the same program in the same network', false, { address: '192.0.2.200' }, 0],
    ['the same program elsewhere', false, { address: '198.51.100.7' }, 1],
    ['another program in the same network', false, { agent: 'curl/8.5.0' }, 1],
    ['the same program from a network that is none', false, { address: 'nonsense' }, 1],
  ] as const)('from %s', async (_case, withCookie, from, count) => {
    const user = await auth.user();
    const first = await login(user);
    const device = await login(user, { ...from, ...(withCookie ? { cookie: first.cookie } : {}) });
    expect(await mailsTo(user.email)).toHaveLength(count);
    // Without the cookie it is a device of its own: what it says of itself is good for no right.
    expect(await devicesOf(device)).toHaveLength(withCookie ? 1 : 2);
  });

  test('comes again from a program that was not seen for ninety days, and to an account that is long asleep', async () => {
    const user = await auth.user();
    await login(user);
    auth.clock.advance(91 * DAY_MS);
    await login(user);
    expect(await mailsTo(user.email)).toHaveLength(1);
    const asleep = await auth.user();
    await auth.rows(`update auth.users set created_at = $2 where id = $1`, [
      asleep.id,
      new Date(auth.clock.now().getTime() - 500 * DAY_MS),
    ]);
    await login(asleep);
    expect(await mailsTo(asleep.email)).toHaveLength(1);
  });

  test('is not sent when the sign-in does not come about', async () => {
    const user = await auth.user();
    await login(user);
    await auth.rows(
      `alter table events.outbox add constraint nothing check (type <> 'auth.login_succeeded.v1') not valid`,
    );
    const headers = { 'user-agent': 'curl/8.5.0' };
    const failed = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD }, headers);
    await auth.rows('alter table events.outbox drop constraint nothing');
    expect(failed.status).toBe(500);
    expect(await mailsTo(user.email)).toEqual([]);
  });
});

describe('“not me”', () => {
  async function intruded() {
    const user = await auth.user();
    const owner = await login(user);
    const [device] = await devicesOf(owner);
    await trust(user, device.id);
    const intruder = await login(user, { agent: 'curl/8.5.0', address: '203.0.113.9' });
    const [mail] = await mailsTo(user.email);
    return { user, owner, intruder, token: mail?.token as string };
  }

  test('ends every session and trust, asks for a new password, and mails the link for it', async () => {
    const { user, owner, intruder, token } = await intruded();

    const answer = await notMe(token);

    expect(answer).toMatchObject({ status: 200, body: { password_reset_required: true } });
    for (const one of [owner, intruder]) {
      expect(await isActive(auth, one.session.session_id)).toBe(false);
      const { refresh_token } = one.answer.body;
      expect((await auth.anonymous.post('/api/auth/refresh', { refresh_token })).status).toBe(401);
    }
    expect(
      await auth.rows('select 1 from auth.devices where user_id = $1 and trusted_until is not null', [user.id]),
    ).toEqual([]);
    expect(
      await auth.rows('select name from auth.devices where user_id = $1 and revoked_at is not null', [user.id]),
    ).toEqual([{ name: 'curl' }]);
    expect((await auth.events('auth.not_me.v1')).at(-1)?.data).toMatchObject({ user_id: user.id });

    const right = await auth.anonymous.post('/api/auth/login', { email: user.email, password: PASSWORD });
    expect(right).toMatchObject({ status: 403, body: { code: 'auth.password_reset_required' } });
    const wrong = await auth.anonymous.post('/api/auth/login', { email: user.email, password: 'not the right one' });
    expect(wrong).toMatchObject({ status: 401, body: { code: 'auth.invalid_credentials' } });

    const [reset] = await mailsTo(user.email, 'password-reset');
    const new_password = 'amber kite over nine lakes';
    const done = await auth.anonymous.post('/api/auth/password/reset', { token: reset?.token, new_password });
    expect(done.status).toBe(204);
    const back = await auth.anonymous.post('/api/auth/login', { email: user.email, password: new_password });
    expect(back.status).toBe(200);
  });

  test('counts once: of ten at one instant one is heard', async () => {
    const { token } = await intruded();
    const answers = await Promise.all(Array.from({ length: 10 }, () => notMe(token)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(400)]);
    expect(answers.find(({ status }) => status === 400)?.body.code).toBe('auth.token_refused');
  });

  test('S028 is not said by a scanner, a made-up link, an old one, or one of another purpose or address', async () => {
    const { user, owner, token } = await intruded();
    for (const method of ['get', 'delete', 'put'] as const)
      expect(
        (await auth.anonymous[method](`/api/auth/sessions/not-me?token=${token}` as string)).status,
      ).toBeGreaterThan(399);
    for (const other of [
      '',
      'x',
      `${token}x`,
      token.toLowerCase(),
      token.slice(0, -1),
      owner.answer.body.refresh_token,
    ])
      expect([other, (await notMe(other)).status]).toEqual([other, 400]);
    await auth.anonymous.post('/api/auth/password/forgot', { email: user.email });
    const [reset] = await mailsTo(user.email, 'password-reset');
    expect((await notMe(reset?.token as string)).status).toBe(400);
    expect(await isActive(auth, owner.session.session_id)).toBe(true);

    await auth.rows(`update auth.users set email = 'moved-' || email where id = $1`, [user.id]);
    expect((await notMe(token)).status).toBe(400);
    expect(await isActive(auth, owner.session.session_id)).toBe(true);

    const late = await intruded();
    auth.clock.advance(7 * DAY_MS);
    expect((await notMe(late.token)).status).toBe(400);
    expect((await auth.events('auth.link_refused.v1')).length).toBeGreaterThan(5);
  });
});
