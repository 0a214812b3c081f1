import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { strangers } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { elsewhere, wrong, right, deviceOf, bucketOf, lock, failures, mailsTo, seen } = strangers(() => auth);

describe('S013 a locked account', () => {
  test('answers strangers alike for a right and a wrong password, as an open and an unknown one does', async () => {
    const victim = await auth.user();
    const open = await auth.user();
    await lock(victim.email);

    const answers = [
      await right(victim.email),
      await wrong(victim.email),
      await wrong(open.email),
      await wrong('nobody-here@users.test'),
    ];

    expect(new Set(answers.map(seen)).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'auth.invalid_credentials' } });
    expect(await failures(victim.id, 'locked')).toBe(2);
  });

  test('counts strangers on as an open one does, so that the pace does not tell either', async () => {
    const victim = await auth.user();
    const open = await auth.user();
    await lock(victim.email);
    const paceOf = async (email: string) => {
      const pace: unknown[] = [];
      for (let n = 0; n < 12; n++) {
        const { status, headers } = await wrong(email);
        pace.push([status, headers.get('retry-after')]);
      }
      return pace;
    };
    expect(await paceOf(victim.email)).toEqual(await paceOf(open.email));
  });

  test('lets the owner in on a device that it knows, however strangers go on', async () => {
    const victim = await auth.user();
    const device = deviceOf(await right(victim.email));
    const address = elsewhere();
    for (let n = 0; n < 5; n++) await wrong(victim.email, { address });
    await lock(victim.email, 15);

    // Also from the very network that the stranger sits in.
    for (const from of [elsewhere(), address])
      expect((await right(victim.email, { cookie: device, address: from })).status).toBe(200);
    expect((await right(victim.email)).status).toBe(401);
  });

  test('a network that has used up its tries does not keep out a device that the account knows', async () => {
    const tight = await auth.another({ LOGIN_NETWORK_BUDGET: 3 });
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    const address = elsewhere();
    for (let n = 0; n < 3; n++) await wrong(`any${n}@users.test`, { address, instance: tight });
    expect((await right(user.email, { address, instance: tight })).status).toBe(429);
    expect((await right(user.email, { address, instance: tight, cookie: device })).status).toBe(200);
  });

  test('takes a forged cookie and the one of another user’s device for a stranger’s', async () => {
    const victim = await auth.user();
    await right(victim.email);
    const attacker = await auth.user();
    const foreign = deviceOf(await right(attacker.email));
    await lock(victim.email);
    const forged = `__Host-gatehouse_device=${'A'.repeat(43)}`;
    for (const cookie of [foreign, forged, `${foreign}.${'A'.repeat(43)}`])
      expect((await right(victim.email, { cookie })).status).toBe(401);
    expect(await failures(victim.id, 'locked')).toBe(3);
  });

  test('opens again when its time is over, and strangers have their tries anew', async () => {
    const user = await auth.user();
    await lock(user.email);
    auth.clock.advance(900_000 - 1);
    expect((await right(user.email)).status).toBe(401);
    auth.clock.advance(1);
    expect((await wrong(user.email)).status).toBe(401);
    expect((await right(user.email)).status).toBe(200);
  });

  test('is one on every instance, and no lock is prolonged by those who try meanwhile', async () => {
    const user = await auth.user();
    const other = await auth.another();
    await lock(user.email);
    for (let n = 0; n < 25; n++) {
      auth.clock.advance(30_000);
      await wrong(user.email, { instance: n % 2 ? other : auth });
    }
    auth.clock.advance(60_000);
    expect((await right(user.email, { instance: other })).status).toBe(401);
    auth.clock.advance(900_000 - 26 * 30_000 - 30_000);
    expect((await right(user.email, { instance: other })).status).toBe(200);
  });

  test('F23 stays locked when Redis is flushed', async () => {
    const user = await auth.user();
    await lock(user.email);
    await auth.redis.flush();
    expect((await right(user.email)).status).toBe(401);
    expect(await failures(user.id, 'locked')).toBe(1);
  });

  // Guards the single statement of a lane: of many who come for the last try, one gets it.
  test('of fifty who come at one instant for the try that locks, one is judged', async () => {
    const tight = await auth.another({ LOGIN_BUDGET: 1000 });
    const user = await auth.user();
    for (let n = 0; n < 19; n++) await wrong(user.email, { instance: tight });
    await Promise.all(Array.from({ length: 50 }, () => wrong(user.email, { instance: tight })));
    expect(await failures(user.id, 'wrong_password')).toBe(20);
    expect(await failures(user.id, 'locked')).toBe(50 - 1);
    expect(await mailsTo(user.email)).toHaveLength(1);
  });

  test('a right password in the very try that would lock signs in and locks nothing', async () => {
    const user = await auth.user();
    for (let n = 0; n < 19; n++) {
      await wrong(user.email);
      if (n >= 9) auth.clock.advance(60_000);
    }
    expect((await right(user.email)).status).toBe(200);
    expect((await right(user.email)).status).toBe(200);
    expect(await mailsTo(user.email)).toEqual([]);
  });

  test('the owner whose password is looked at while strangers lock the account gets in, and the lock ends', async () => {
    const slow = await auth.another();
    const { verify } = slow.deps.hasher;
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    slow.deps.hasher = {
      ...slow.deps.hasher,
      async verify(stored, password) {
        entered.resolve();
        await gate.promise;
        return verify(stored, password);
      },
    };
    const owner = await auth.user();
    const victim = await auth.user();
    const waiting = [right(owner.email, { instance: slow }), right(victim.email, { instance: slow })];
    await entered.promise;
    await eventually(async () => {
      const buckets = [owner, victim].map(({ email }) => bucketOf(`login_account\n${email}`));
      return (await auth.rows('select from auth.login_lanes where bucket = any ($1)', [buckets])).length === 2;
    });
    // The try of the owner is one of those that count.
    await lock(owner.email, 19);
    expect((await right(owner.email)).status).toBe(401);
    await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [victim.id]);
    gate.resolve();

    const [entering, disabled] = await Promise.all(waiting);
    expect([entering?.status, disabled?.status]).toEqual([200, 401]);
    expect((await right(owner.email)).status).toBe(200);
    expect(await auth.rows('select from auth.lockouts where user_id = $1', [owner.id])).toEqual([]);
  });

  test('is on record, once for each lock, and tells operators how many there are', async () => {
    const counted = async () =>
      Number(/auth_lockouts_total\{scope="account"\} (\d+)/.exec(await auth.metrics())?.[1] ?? 'NaN');
    const before = await counted();
    const user = await auth.user();
    await lock(user.email);
    await wrong(user.email);
    const locked = (await auth.events('auth.account_locked.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(locked).toMatchObject([{ outcome: 'denied', data: { until: expect.stringMatching(/Z$/) } }]);
    expect(await counted()).toBe(before + 1);
    expect(await auth.metrics()).toContain('auth_rate_limited_total{limiter="login_account_network"} 0');
  });
});
