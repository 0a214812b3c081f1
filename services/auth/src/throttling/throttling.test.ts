import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { strangers } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { wrong, right, deviceOf, bucketOf, lock, failures, mailsTo, unlock } = strangers(() => auth);

describe('S010 no more than a hundred failures in a row are judged', () => {
  /** Fails as strangers for hours, through every lock. */
  async function wearOut(email: string, tries: number) {
    for (let n = 0; n < tries; n++) {
      expect((await wrong(email)).status).toBe(401);
      auth.clock.advance(60_000);
    }
  }

  test('over all windows and locks; then the owner is in by a known device or by the link alone', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));

    await wearOut(user.email, 200);

    expect(await failures(user.id, 'wrong_password')).toBe(80);
    auth.clock.advance(7 * 86_400_000);
    expect((await right(user.email)).status).toBe(401);
    expect(await auth.rows('select auth.cleanup_throttling($1)', [auth.clock()])).toHaveLength(1);
    expect((await right(user.email)).status).toBe(401);

    for (let n = 0; n < 40; n++) {
      await wrong(user.email, { cookie: device });
      auth.clock.advance(901_000);
    }
    expect(await failures(user.id, 'wrong_password')).toBe(100);

    const [latest] = (await mailsTo(user.email)).slice(-1);
    expect(latest).toBeDefined();
    await auth.rows(`update auth.action_tokens set expires_at = $2 where user_id = $1`, [
      user.id,
      new Date(auth.clock().getTime() + 60_000),
    ]);
    expect((await unlock(latest?.token ?? '')).status).toBe(204);
    expect((await right(user.email)).status).toBe(200);
    expect((await right(user.email, { cookie: device })).status).toBe(200);
  }, 60_000);

  test('the owner’s success on a known device ends the row, and shortens no lock for strangers', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    await wearOut(user.email, 150);
    expect(await failures(user.id, 'wrong_password')).toBe(80);

    expect((await right(user.email, { cookie: device })).status).toBe(200);

    const [lane] = await auth.rows<{ failures: number; locked_until: Date | null }>(
      'select failures, locked_until from auth.login_lanes where bucket = $1',
      [bucketOf(`login_account\n${user.email}`)],
    );
    expect(lane?.failures).toBe(0);
    auth.clock.advance(900_000);
    expect((await right(user.email)).status).toBe(200);
  }, 60_000);

  test('a known device has delays of its own, and beyond its failures it is a stranger', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    for (let n = 0; n < 5; n++) expect((await wrong(user.email, { cookie: device })).status).toBe(401);
    const refused = await right(user.email, { cookie: device });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    // The lane of strangers is untouched by it.
    expect((await right(user.email)).status).toBe(200);
  });
});

describe('the link that ends a lock', () => {
  test('comes once for each lock, sealed, to who has an account, and works once', async () => {
    const user = await auth.user();
    await lock(user.email);
    const [mail, ...more] = await mailsTo(user.email);
    expect(more).toEqual([]);
    expect(mail?.params).toEqual({
      name: 'Uma User',
      until: expect.stringMatching(/Z$/),
      device: expect.any(String),
      address: expect.stringMatching(/^10\./),
      at: expect.stringMatching(/Z$/),
    });
    expect(await mailsTo('nobody@invalid.invalid')).toEqual([]);
    const token = mail?.token ?? '';
    expect(JSON.stringify(await auth.rows('select * from events.outbox'))).not.toContain(token);
    expect(JSON.stringify(await auth.rows('select payload from events.jobs'))).not.toContain(token);

    const answers = await Promise.all(Array.from({ length: 10 }, () => unlock(token)));

    expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(9).fill(400)]);
    expect((await right(user.email)).status).toBe(200);
    expect((await unlock(token)).body.code).toBe('auth.token_refused');
    const unlocked = (await auth.events('auth.account_unlocked.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(unlocked).toHaveLength(1);
    expect(await auth.events('auth.link_refused.v1')).toHaveLength(10);
  });

  test('of an earlier lock, past its time, of a disabled account or a changed address does nothing', async () => {
    const user = await auth.user();
    await lock(user.email);
    const first = (await mailsTo(user.email))[0]?.token ?? '';
    auth.clock.advance(900_000);
    await lock(user.email);
    const second = (await mailsTo(user.email))[1]?.token ?? '';
    expect((await unlock(first)).status).toBe(400);
    await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [user.id]);
    expect((await unlock(second)).status).toBe(400);

    const moved = await auth.user();
    await lock(moved.email);
    const moving = (await mailsTo(moved.email))[0]?.token ?? '';
    await auth.rows(`update auth.users set email = 'x' || email where id = $1`, [moved.id]);
    expect((await unlock(moving)).status).toBe(400);

    const late = await auth.user();
    await lock(late.email);
    const token = (await mailsTo(late.email))[0]?.token ?? '';
    auth.clock.advance(30 * 60_000);
    expect((await unlock(token)).status).toBe(400);
    for (const bad of ['', 'x'.repeat(257), 7, null]) expect((await unlock(bad as string)).status).toBe(400);
  });

  test('is not sent for accounts that nobody signs in to, and no account follows from it', async () => {
    const disabled = await auth.user({ status: 'disabled' });
    await lock(disabled.email);
    await lock('still-nobody@users.test');
    expect(await mailsTo(disabled.email)).toEqual([]);
    expect(await mailsTo('still-nobody@users.test')).toEqual([]);
    const listed = await auth.rows('select from auth.lockouts where user_id = $1', [disabled.id]);
    expect(listed).toEqual([]);
  });
});

test('buckets do not tell whose they are', async () => {
  const user = await auth.user();
  const address = '203.0.113.77';
  await wrong(user.email, { address });
  const rows = JSON.stringify(await auth.rows(`select encode(bucket, 'escape') as bucket from auth.login_lanes`));
  expect(rows).not.toContain(user.email);
  expect(rows).not.toContain('203.0.113');
});

test('the cleanup forgets what has had its time, and not the failures in a row of an account', async () => {
  const user = await auth.user();
  await wrong(user.email);
  await wrong('gone-by-night@users.test');
  const count = async (lane: string) =>
    (await auth.rows('select from auth.login_lanes where bucket = $1', [bucketOf(lane)])).length;
  auth.clock.advance(86_400_000);
  await auth.rows('select auth.cleanup_throttling($1)', [auth.clock()]);
  expect(await count(`login_account\n${user.email}`)).toBe(1);
  expect(await count('login_account\ngone-by-night@users.test')).toBe(0);
});

test('who must set a new password is told so, with the right password alone', async () => {
  const user = await auth.user();
  await auth.rows('update auth.users set password_reset_required = true where id = $1', [user.id]);
  expect((await wrong(user.email)).body.code).toBe('auth.invalid_credentials');
  const refused = await right(user.email);
  expect(refused).toMatchObject({ status: 403, body: { code: 'auth.password_reset_required' } });
  expect(refused.headers.get('set-cookie')).toBeNull();
  expect(await auth.rows('select from auth.sessions where user_id = $1', [user.id])).toEqual([]);
  expect(await failures(user.id, 'password_reset_required')).toBe(1);
});
